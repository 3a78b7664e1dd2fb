import signal
import time

from tests.chaos.case import Case
from tests.chaos.rig import say
from tests.chaos.run import Run

SERVICES = ("fcm", "apns", "wns", "web_push")
TTL_S = 20
SWEPT_S = 30.0
SHARE = 4
"""One message of so many is ordered in the outage, but each device gets at most one."""


def inject(run: Run) -> None:
    """The devices are away, too, or they would fetch from their inboxes what no service takes."""
    for service in SERVICES:
        run.rig.services.fault(service, "outage")
    run.rig.fleet.process.send(signal.SIGSTOP)
    places = run.rig.fleet.devices()
    only_pushed = [name for name, place in places.items() if place.channel in SERVICES and not place.mqtt_fallback]
    doomed = only_pushed[: run.messages // SHARE]
    job_id = run.order_for(doomed, ttl_s=TTL_S)
    run.allowed.expired = len(doomed)
    time.sleep(TTL_S)
    run.wait_until(lambda: run.count("status = 'expired'") == len(doomed), "end of each message", SWEPT_S)
    run.rig.services.heal()
    run.rig.fleet.process.send(signal.SIGCONT)
    run.order()
    run.wait_until_sent((run.messages - len(doomed)) / run.messages)
    ids = run.rig.record.rows("SELECT message_id::text AS id FROM push_notification_logs WHERE job_id = %s", job_id)
    expired = {row["id"] for row in ids}
    sent = [each for taken in run.rig.services.accepted().values() for each in taken if each in expired]
    say(f"{len(expired)} messages expired in the outage, {len(sent)} of them were sent")
    if sent:
        run.problem(f"{len(sent)} expired messages were sent")


CASE = Case(
    name="outage-past-ttl",
    sentence="All push services are away for longer than messages live: those expire, none is sent late.",
    inject=inject,
)
