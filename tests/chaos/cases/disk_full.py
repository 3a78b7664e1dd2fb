import time

from tests.chaos.case import Case
from tests.chaos.rig import say
from tests.chaos.run import Run
from tests.journey.small_disk import NoSmallDisk, move_tables, small_disk

FULL_S = 10.0
PATIENCE_S = 60.0
BYTES_PER_MESSAGE = 4_000
"""A row of the log in all its versions, and its receipt."""
LEAST_MB = 32


def inject(run: Run) -> None:
    folder = run.rig.postgres.folder / "small"
    try:
        disk = run.rig.use(small_disk(folder, LEAST_MB + run.messages * BYTES_PER_MESSAGE // 2**20))
    except NoSmallDisk as reason:
        run.problem(str(reason))
        return
    move_tables(run.rig.postgres.url, folder)
    run.order(run.messages // 2)
    run.wait_until_sent(1 / 3)
    disk.fill()
    run.may_repeat(run.count("claim_token IS NOT NULL AND status = 'pending'"))
    say(f"the disk is full; {run.sent()} messages are sent, {run.delivered()} delivered")
    if (read := run.rig.api.call("GET", "/jobs")).status != 200:
        run.problem(f"a read was answered {read.status}")
    time.sleep(FULL_S)
    disk.free()
    say(f"the disk has room; {run.sent()} messages are sent, {run.delivered()} delivered")
    run.order(patience_s=PATIENCE_S)


CASE = Case(
    name="disk-full",
    sentence="The disk with the log, its receipts and its jobs is full for 10 s during a send and an ack storm.",
    inject=inject,
)
