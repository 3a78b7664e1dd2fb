"""The services answer 200 with what is no answer of theirs, and have taken nothing."""

import psutil

from tests.chaos.case import Case
from tests.chaos.push_faults import wait_until_met
from tests.chaos.rig import say
from tests.chaos.run import Run

PROVIDERS = ("fcm", "apns", "wns", "web_push")
BODIES = ("huge", "html", "nothing", "gzip-bomb")
"""The 99 MB first, while every sender still trusts its provider."""
READ_WITHIN_S = 30.0
MOST_GROWTH_BYTES = 100_000_000
NAMES = frozenset({"unreadable_answer", "no_answer"})
"""99 MB may be cut off by the deadline of a busy machine."""


def inject(run: Run) -> None:
    run.order(run.messages // 2)
    run.wait_until_sent(1 / 4)
    before = memory_bytes(run)
    largest = dict(before)
    services = run.rig.services
    for number, body in enumerate(BODIES):
        babbling = [services.fault(each, "garbage", body=body) for each in PROVIDERS]
        if number == 0:
            run.order()
        wait_until_met(run, *babbling)
        say(f"{body}: met by {sum(services.met(each) for each in babbling)} requests")
        largest = {name: max(largest[name], now) for name, now in memory_bytes(run).items()}
        services.heal()
    growth = {name: largest[name] - before[name] for name in PROVIDERS}
    say("memory: " + ", ".join(f"{name} +{grown / 1e6:.0f} MB" for name, grown in growth.items()))
    if fat := [name for name, grown in growth.items() if grown > MOST_GROWTH_BYTES]:
        run.problem(f"memory of {', '.join(fat)} grew by more than 100 MB")
    check_names(run)


def check_names(run: Run) -> None:
    named = run.rig.record.rows(
        """SELECT a.provider, a.code, count(*) AS attempts FROM delivery_deliveryattempt a
           JOIN push_notification_logs m ON m.id = a.push_id WHERE m.job_id = ANY(%s) GROUP BY 1, 2""",
        run.job_ids,
    )
    if strange := {row["code"] for row in named} - NAMES:
        run.problem(f"garbage is called {sorted(strange)}")
    if silent := set(PROVIDERS) - {row["provider"] for row in named}:
        run.problem(f"garbage was taken for a good answer of {', '.join(sorted(silent))}")


def memory_bytes(run: Run) -> dict[str, int]:
    """Of each provider's worker, parent and children."""
    found = {}
    for name in PROVIDERS:
        leader = psutil.Process(run.rig.process(name).pid)
        found[name] = sum(each.memory_info().rss for each in [leader, *leader.children(recursive=True)])
    return found


CASE = Case(
    name="garbage",
    sentence="Services answer 200 with 99 MB, HTML, nothing and a gzip bomb: a named error, 64 KiB read, tried again.",
    inject=inject,
    about_answers=True,
)
