from tests.chaos.case import Case
from tests.chaos.run import Run

SECOND = "beat-again"
COUNTED_S = 60.0


def inject(run: Run) -> None:
    schedule = run.rig.folder / "second-beat-schedule"
    run.rig.production.start("beat", instance=SECOND, BEAT_SCHEDULE_FILE=str(schedule))
    run.order()
    run.wait_until_sent(1)
    run.wait_until(lambda: run.delivered() == run.messages, "messages delivered")
    run.wait_until(lambda: counted(run) == run.messages, "deliveries in the hourly numbers", COUNTED_S)
    run.rig.process(SECOND).stop()
    del run.rig.production.processes[SECOND]


def counted(run: Run) -> int:
    return run.rig.record.number("SELECT sum(delivered) FROM analytics_hourlyrollup")


CASE = Case(
    name="beat-twice",
    sentence="Two beats give every tick twice: each message is sent once, and each hour is counted once.",
    inject=inject,
)
