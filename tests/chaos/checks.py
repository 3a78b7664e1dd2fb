"""What was found at the end of a run, and the verdict on it."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.fleet.device import MQTT
from simulator.fleet.ledger import ACKED, PUSHED
from tests.chaos import transitions
from tests.chaos.rig import say
from tests.chaos.run import Allowed, Run

GRACE_S = 1.0
"""For a push that was on its way when its message's ack came."""
ANSWERED_S = 45.0
"""For a device whose ack was committed and not answered: it asks again after 30 s at most."""
SAY_EVERY_S = 5.0
CLEAN_ANSWERS = frozenset({"200", "429", "503", "no answer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the record, the devices and the push services say of one run's messages."""

    ordered: int
    statuses: Mapping[str, str]
    """Each message's, in the record."""
    receipts: frozenset[str]
    """Messages with a committed receipt `delivered`."""
    told: Sequence[Mapping[str, Any]]
    """What the devices noted: simulator/fleet/ledger.py."""
    accepted: Mapping[str, int]
    """How often the push services accepted each message."""
    illegal: Sequence[str]
    answers: Mapping[str, int]
    """To the devices, by status."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    messages: int
    delivered: int
    """Counted by the devices."""
    expired: int
    failed: int
    lost: int
    stuck: int
    illegal: int
    extra_sends: int
    bound: int
    acks_missing: int
    seconds: int

    def line(self, case: str, good: bool) -> str:
        numbers = " ".join(f"{name}={getattr(self, name)}" for name in self.__dataclass_fields__)
        return f"case={case} {numbers} {'ok' if good else 'FAILED'}"


def figures(found: Found, allowed: Allowed) -> Figures:
    arrived = {note["message_id"] for note in found.told if note["what"] != ACKED} & found.statuses.keys()
    ends = Counter(found.statuses.values())
    return Figures(
        messages=found.ordered,
        delivered=len(arrived),
        expired=ends["expired"],
        failed=ends["failed"],
        lost=max(0, found.ordered - allowed.expired - allowed.failed - len(arrived)),
        stuck=ends["pending"] + ends["sent"],
        illegal=len(found.illegal),
        extra_sends=sum(sends - 1 for sends in _sends(found).values() if sends > 1),
        bound=allowed.extra_sends,
        acks_missing=len(_missing(found)),
        seconds=round(found.seconds),
    )


def wrong(found: Found, numbers: Figures, allowed: Allowed) -> list[str]:
    """What is not as it has to be, in words; nothing when the run is good."""
    recorded = sum(status == "delivered" for status in found.statuses.values())
    unclean = {answer: times for answer, times in found.answers.items() if answer not in CLEAN_ANSWERS}
    checks = {
        f"{numbers.lost} messages are lost": numbers.lost > 0,
        f"{numbers.stuck} messages are still open": numbers.stuck > 0,
        f"{len(found.statuses)} rows for {found.ordered} messages": len(found.statuses) != found.ordered,
        f"the record says {recorded} delivered, the devices {numbers.delivered}": recorded != numbers.delivered,
        f"{numbers.expired} expired, not {allowed.expired}": numbers.expired != allowed.expired,
        f"{numbers.failed} failed, not {allowed.failed}": numbers.failed != allowed.failed,
        f"{numbers.extra_sends} extra sends, at most {numbers.bound}": numbers.extra_sends > numbers.bound,
        f"{numbers.acks_missing} confirmed acks are missing": numbers.acks_missing > 0,
        f"devices were answered {unclean}": bool(unclean),
    }
    return [text for text, bad in checks.items() if bad] + [f"illegal: {change}" for change in found.illegal[:10]]


def _sends(found: Found) -> Counter[str]:
    """How often each message was taken for its device: as the push services count, and MQTT's as devices do."""
    sends = Counter({message: times for message, times in found.accepted.items() if message in found.statuses})
    sends.update(
        note["message_id"]
        for note in found.told
        if note["what"] == PUSHED and note["by"] == MQTT and note["message_id"] in found.statuses
    )
    return sends


def _missing(found: Found) -> set[str]:
    """Messages whose ack was confirmed to the device and is not in the record."""
    confirmed = {note["message_id"] for note in found.told if note["what"] == ACKED} & found.statuses.keys()
    kept = {message for message in found.receipts if found.statuses.get(message) == "delivered"}
    return confirmed - kept


def wait_for_the_end(run: Run) -> float:
    """Until nothing moves any more or time is up; the seconds from the first order to the last message's end."""
    ended_at = say_at = time.monotonic()
    while time.monotonic() < run.ends_at:
        still_open = run.ordered - run.count("status NOT IN ('pending', 'sent')")
        if still_open:
            ended_at = time.monotonic()
        elif not _moving(run):
            break
        if time.monotonic() > say_at:
            say(f"{still_open} of {run.ordered} messages are open")
            say_at = time.monotonic() + SAY_EVERY_S
        time.sleep(0.25)
    time.sleep(GRACE_S)
    return ended_at - run.began


def _moving(run: Run) -> int:
    """Claims that are alive, jobs whose final count is not taken, and acks whose devices wait for an answer."""
    claims = run.count("claim_token IS NOT NULL AND claimed_until > now()")
    jobs = run.rig.record.number(
        "SELECT count(*) FROM delivery_job WHERE job_id = ANY(%s) AND frozen_progress IS NULL", run.job_ids
    )
    return claims + jobs


def look(run: Run, seconds: float) -> Found:
    """Ask the record, the devices and the push services."""
    record = run.rig.record
    rows = record.rows(
        "SELECT message_id::text AS id, status FROM push_notification_logs WHERE job_id = ANY(%s)", run.job_ids
    )
    receipts = record.rows(
        """SELECT r.push_id::text AS id FROM push_delivery_logs r JOIN push_notification_logs m
           ON m.message_id = r.push_id WHERE m.job_id = ANY(%s) AND r.status = 'delivered'""",
        run.job_ids,
    )
    accepted: Counter[str] = Counter()
    for by_message in run.rig.services.accepted().values():
        accepted.update(by_message)
    return Found(
        ordered=run.ordered,
        statuses={row["id"]: row["status"] for row in rows},
        receipts=frozenset(row["id"] for row in receipts),
        told=run.rig.fleet.told(),
        accepted=accepted,
        illegal=transitions.illegal(record, run.job_ids),
        answers=Counter(run.rig.fleet.answers()) - Counter(run.answers_before),
        seconds=seconds,
    )
