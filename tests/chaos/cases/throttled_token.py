"""Three devices get too much: FCM, APNs and WNS say so of their addresses alone."""

import time

from tests.chaos.case import Case
from tests.chaos.push_faults import wait_until_met
from tests.chaos.rig import say
from tests.chaos.run import Run

THROTTLED = {
    "fcm": {"status": 429, "reason": "device message rate"},
    "apns": {"status": 429, "reason": "TooManyRequests"},
    "wns": {"status": 200, "reason": "channelthrottled"},
}
"""What each answers for an address; Web Push knows no such word."""
LASTS_S = 15.0


def inject(run: Run) -> None:
    services = run.rig.services
    chosen = {provider: some_channel(run, provider) for provider in THROTTLED}
    faults = [
        services.fault(provider, "answer", addresses=[chosen[provider]["address"]], **answer)
        for provider, answer in THROTTLED.items()
    ]
    run.order()
    wait_until_met(run, *faults)
    began = time.monotonic()
    devices = [channel["device_id"] for channel in chosen.values()]
    run.wait_until(lambda: others_arrived(run, devices), "end of all messages but those of the three devices")
    time.sleep(max(0.0, began + LASTS_S - time.monotonic()))
    met = [services.met(each) for each in faults]
    services.heal()
    say(f"refused for one address: {dict(zip(THROTTLED, met, strict=True))}")
    check_no_queue_is_slowed(run)


def some_channel(run: Run, provider: str) -> dict[str, str]:
    """A device of the provider, with the address that the provider knows it by."""
    [row] = run.rig.record.rows(
        """SELECT c.address, d.device_id FROM delivery_channel c JOIN delivery_device d ON d.id = c.device_id
           WHERE c.provider = %s AND c.rank = 0 AND d.device_id = ANY(%s) ORDER BY c.id LIMIT 1""",
        provider,
        run.rig.device_ids,
    )
    return row


def others_arrived(run: Run, devices: list[str]) -> bool:
    return run.count("true") == run.ordered and not run.count("status <> 'delivered' AND device_id <> ALL(%s)", devices)


def check_no_queue_is_slowed(run: Run) -> None:
    found = run.rig.record.rows(
        "SELECT provider, state, rate_per_s FROM delivery_providerstate WHERE state <> 'closed' OR rate_per_s > 0"
    )
    if found:
        run.problem(f"one address slowed down {', '.join(row['provider'] for row in found)}")


CASE = Case(
    name="throttled-token",
    sentence="FCM, APNs and WNS throttle one address each: only that device's messages wait, no queue slows down.",
    inject=inject,
)
