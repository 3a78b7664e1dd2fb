import signal
import time
from collections.abc import Sequence
from uuid import UUID

from tests.chaos.case import Case
from tests.chaos.cases.worker_kill import EXTRA_SENDS_PER_PROCESS, held_by_the_living
from tests.chaos.rig import PROVIDERS, say
from tests.chaos.run import Run

ROUNDS = (
    {
        "web": "before_hint",
        "fanout": "before_chunk_commit",
        "fcm": "after_claim",
        "apns": "after_request:5",
        "wns": "after_answer:5",
        "web_push": "before_outcome_commit",
        "mqtt": "after_outcome_commit",
        "mqtt_acks": "before_ack_commit",
        "maintenance": "after_sweep_chunk",
    },
    {"web": "before_ack_commit:5", "fanout": "after_chunk_commit", "mqtt_acks": "after_ack_commit"},
    {"web": "after_ack_commit:5", "fanout": "before_hint"},
    {"web": "before_inbox_commit"},
    {"web": "after_inbox_commit"},
)
"""Who dies where. Each goes on as soon as it has died once, so that nobody is taken for poison."""
FETCHED = "mqtt"
"""Nobody sends its messages while inboxes are to hand them out."""
HARMLESS = ("after_claim",)
"""Nothing was sent."""
DEATHS = {"web": "] died", "mqtt_acks": ""}
CELERY_DEATH = "signal 9 (SIGKILL)"
DIED_WITHIN_S = 60.0
PATIENCE_S = 60.0
"""Web may just have died, and be on its way back."""


def inject(run: Run) -> None:
    dead: set[UUID] = set()
    for number, places in enumerate(ROUNDS):
        count = None if number == len(ROUNDS) - 1 else run.messages // len(ROUNDS)
        ordering, fetching = places["web"] == "before_hint", "inbox" in places["web"]
        stop(run, [name for name in places if ordering or name != "web"])
        if fetching:
            stop(run, [FETCHED])
        if not ordering:
            run.order(count, patience_s=PATIENCE_S)
            stop(run, ["web"])
        for name, place in places.items():
            run.rig.production.start(name, CRASH_AT=place)
        for name in places:
            run.rig.wait_until_ready(name)
        if ordering:
            run.order(count, patience_s=PATIENCE_S)
        if fetching:
            run.wait_until(lambda: run.count("true") == run.ordered, "messages for inboxes")
            run.rig.mqtt.restart()  # its devices look into their inboxes when they are connected again
        walk(run, dict(places), dead)
        if fetching:
            run.rig.start(FETCHED)
    for name in run.rig.production.processes:
        run.rig.wait_until_ready(name)
    run.began = time.monotonic()  # the starts of nearly everything take minutes; the messages' own time begins here


def stop(run: Run, names: Sequence[str]) -> None:
    for name in names:
        run.rig.process(name).send(signal.SIGTERM)
    for name in names:
        run.rig.process(name).wait()


def walk(run: Run, places: dict[str, str], dead: set[UUID]) -> None:
    """Until each has died at its place and runs again."""
    gives_up_at = time.monotonic() + DIED_WITHIN_S
    while places and time.monotonic() < gives_up_at:
        for name in [name for name in places if has_died(run, name)]:
            place = places.pop(name)
            again(run, name)
            if name in PROVIDERS:
                held = held_by_the_living(run, dead).get(name, {})
                if place not in HARMLESS:
                    run.may_repeat(min(sum(held.values()), EXTRA_SENDS_PER_PROCESS * len(held)))
                dead.update(held)
            say(f"{name} died at {place}")
        time.sleep(0.02)
    for name, place in places.items():
        run.problem(f"{name} did not die at {place} within {DIED_WITHIN_S:g} s")
        again(run, name)


def again(run: Run, name: str) -> None:
    """A new one in its place; one that is alive ends what it has begun."""
    if run.rig.process(name).alive:
        run.rig.process(name).stop()
    run.rig.start(name)


def has_died(run: Run, name: str) -> bool:
    process = run.rig.process(name)
    return not process.alive or (name != "mqtt_acks" and DEATHS.get(name, CELERY_DEATH) in process.output())


CASE = Case(
    name="crash-points",
    sentence="Under load somebody dies at each named place of a message's way, and is started again.",
    inject=inject,
)
