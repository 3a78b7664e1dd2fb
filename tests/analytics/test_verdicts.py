"""The rules, one case each. (Evidence from rows: test_judging.py; from the running product: tests/scenarios.)"""

from datetime import UTC, datetime, timedelta

import pytest

from analytics.evidence import Acks, Evidence, Gate, Others, Span, Tried
from analytics.verdicts import judge
from delivery.models.verdict import Verdict

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
END = NOON + 300 * SECOND
HOUR_AGO = NOON - timedelta(hours=1)


def message(**known: object) -> Evidence:
    """Ordered at noon for five minutes, never acked, judged a quarter of an hour later."""
    facts: dict[str, object] = {"judged_at": END + timedelta(minutes=15), "status": "expired", "provider": "fcm"}
    return Evidence(created_at=NOON, expires_at=END, **facts | known)  # type: ignore[arg-type]


def sent(**known: object) -> Evidence:
    """One that FCM took after a second, for a device that is online."""
    return message(**{"sent_at": NOON + SECOND, "seen": Span(HOUR_AGO, END), **known})


def tried(outcome: str, code: str = "", times: int = 1) -> Tried:
    return Tried("fcm", outcome, code, times)


SILENT = Span(HOUR_AGO, NOON - 30 * SECOND)
GOOD = Acks(200, 190)

CASES = {
    "nobody took it": (message(), Verdict.NEVER_HANDED_OVER, "no worker took it"),
    "its worker died": (message(holder_died=True), Verdict.NEVER_HANDED_OVER, "worker that held it died"),
    "it killed its workers": (message(status="failed", code="poison"), Verdict.NEVER_HANDED_OVER, "died"),
    "a worker took it in its last second": (
        message(sent_at=END - SECOND, seen=Span(HOUR_AGO, END)),
        Verdict.NEVER_HANDED_OVER,
        "only 1 s before its time was over",
    ),
    "no answer": (message(tried=tried("retry", "no_answer", 5)), Verdict.PROVIDER_DOWN, "no answer, after 5 attempts"),
    "503": (message(tried=tried("retry", "UNAVAILABLE")), Verdict.PROVIDER_DOWN, "FCM answered UNAVAILABLE."),
    "it came through only at the end of an outage": (
        message(tried=tried("retry", "UNAVAILABLE", 4), sent_at=END - SECOND, seen=Span(HOUR_AGO, END)),
        Verdict.PROVIDER_DOWN,
        "after 4 attempts",
    ),
    "behind a breaker": (
        message(gate=Gate("fcm", "failing", "no_answer", 0.9)),
        Verdict.PROVIDER_DOWN,
        "nothing could be sent for 90% of its life",
    ),
    "a breaker for a moment only": (
        message(gate=Gate("fcm", "failing", "no_answer", 0.02)),
        Verdict.NEVER_HANDED_OVER,
        "no worker took it",
    ),
    "taken for nobody": (
        sent(here=Acks(8, 0), elsewhere=Acks(300, 4)),
        Verdict.PROVIDER_DOWN,
        "4 of 308 other messages",
    ),
    "429": (message(tried=tried("throttled", "QUOTA_EXCEEDED")), Verdict.THROTTLED, "sending too fast"),
    "behind a slowed gate": (message(gate=Gate("fcm", "throttled", "429", 0.5)), Verdict.THROTTLED, "slowed"),
    "a wrong key": (message(tried=tried("misconfigured", "UNAUTHENTICATED")), Verdict.OUR_CREDENTIAL, "credential"),
    "behind a wrong key": (
        message(gate=Gate("fcm", "misconfigured", "token_invalid_grant", 1.0)),
        Verdict.OUR_CREDENTIAL,
        "token_invalid_grant",
    ),
    "a key that cannot be read": (message(configured=False), Verdict.OUR_CREDENTIAL, "cannot be used"),
    "another project's address": (
        message(tried=tried("rejected", "SENDER_ID_MISMATCH")),
        Verdict.OUR_CREDENTIAL,
        "another project",
    ),
    "the guard blamed us, not the addresses": (
        message(tried=tried("address_gone", "BadDeviceToken"), gate=Gate("apns", "misconfigured", "guard: B", 0.9)),
        Verdict.OUR_CREDENTIAL,
        "guard: B",
    ),
    "a dead address": (
        message(status="failed", tried=tried("address_gone", "UNREGISTERED")),
        Verdict.ADDRESS_GONE,
        "FCM answered UNREGISTERED",
    ),
    "its channel was closed before": (message(code="channel_closed"), Verdict.ADDRESS_GONE, "no address"),
    "it went straight to the inbox": (
        message(provider="inbox", gone="UNREGISTERED", seen=Span(HOUR_AGO, END)),
        Verdict.ADDRESS_GONE,
        "said UNREGISTERED",
    ),
    "too large": (message(tried=tried("rejected", "payload_too_large")), Verdict.PAYLOAD_REFUSED, "this message"),
    "the device could not read it": (
        sent(status="failed", code="decryption_failed", acked_at=END),
        Verdict.PAYLOAD_REFUSED,
        "decryption_failed",
    ),
    "the device was away": (
        sent(seen=SILENT, others=Others(6, 5)),
        Verdict.DEVICE_OFFLINE,
        "last heard at 11:59:30 UTC; 5 of 6 other devices of the site were heard",
    ),
    "the device came back at the last moment": (
        sent(seen=Span(END - 2 * SECOND, END), others=Others(6, 5)),
        Verdict.DEVICE_OFFLINE,
        "came back only at 12:04:58",
    ),
    "the device fell silent while it was sent": (
        sent(seen=Span(HOUR_AGO, NOON + 3 * SECOND), others=Others(6, 5)),
        Verdict.DEVICE_OFFLINE,
        "last heard at 12:00:03",
    ),
    "WNS said so of a device that is never heard": (
        sent(provider="wns", seen=None, accepted_code="disconnected"),
        Verdict.DEVICE_OFFLINE,
        "noted: disconnected",
    ),
    "nobody listened at the broker": (
        sent(provider="mqtt", seen=None, accepted_code="0x10 No matching subscribers"),
        Verdict.DEVICE_OFFLINE,
        "0x10",
    ),
    "dropped by a system that was away": (
        message(tried=tried("rejected", "dropped"), seen=SILENT, others=Others(6, 5)),
        Verdict.DEVICE_OFFLINE,
        "last heard",
    ),
    "all of the site was silent": (sent(seen=SILENT, others=Others(7)), Verdict.UPLINK_DOWN, "none of the 7 other"),
    "all of the site was silent, and it never beats": (
        sent(seen=None, others=Others(7)),
        Verdict.UPLINK_DOWN,
        "none of the 7 other",
    ),
    "not connected, like all of its site": (
        sent(provider="wns", seen=None, accepted_code="disconnected", others=Others(7)),
        Verdict.UPLINK_DOWN,
        "none of the 7 other",
    ),
    "its inbox waited at a silent site": (
        message(provider="inbox", others=Others(7)),
        Verdict.UPLINK_DOWN,
        "none of the 7 other",
    ),
    "alone at its site": (sent(seen=SILENT), Verdict.DEVICE_OFFLINE, "no other devices"),
    "this provider at this site only": (
        sent(here=Acks(9, 0), elsewhere=GOOD),
        Verdict.BLOCKED_AT_SITE,
        "0 of 9 messages to others of the site arrived through FCM, at other sites 95%",
    ),
    "some of the site fetched it by themselves": (
        sent(here=Acks(10, 3), elsewhere=GOOD),
        Verdict.BLOCKED_AT_SITE,
        "3 of 10",
    ),
    "this device only": (sent(here=Acks(9, 8), elsewhere=GOOD), Verdict.DENIED_ON_DEVICE, "8 of 9"),
    "this device only, and nobody elsewhere to compare": (sent(here=Acks(9, 8)), Verdict.DENIED_ON_DEVICE, "8 of 9"),
    "it was online, and not connected to its provider": (
        sent(provider="wns", accepted_code="disconnected", here=Acks(9, 8), elsewhere=GOOD),
        Verdict.DENIED_ON_DEVICE,
        "and noted: disconnected, and the device was online",
    ),
    "the device said so": (
        sent(status="failed", code="notifications_denied", acked_at=END),
        Verdict.DENIED_ON_DEVICE,
        "notifications_denied",
    ),
    "its system did not want it": (
        message(tried=tried("rejected", "dropped"), seen=Span(HOUR_AGO, END)),
        Verdict.DENIED_ON_DEVICE,
        "did not want it",
    ),
    "fetched and not confirmed": (sent(provider="inbox"), Verdict.DENIED_ON_DEVICE, "fetched it at 12:00:01"),
    "online, and never looked": (
        message(provider="inbox", seen=Span(HOUR_AGO, END)),
        Verdict.DENIED_ON_DEVICE,
        "did not fetch it",
    ),
    "late": (
        sent(status="delivered", acked_at=END + 40 * SECOND, arrived_at=END + 39 * SECOND),
        Verdict.TOO_LATE,
        "confirmed 40 s after its time was over; of 5 min it waited 1 s to be sent",
    ),
    "late by its ack alone": (
        sent(status="delivered", acked_at=END + 40 * SECOND, arrived_at=NOON + 2 * SECOND),
        Verdict.TOO_LATE,
        "had it at 12:00:02 UTC, in time, but it was confirmed 40 s after",
    ),
    "called off": (message(status="cancelled", code="superseded"), Verdict.CANCELLED, "superseded"),
    "no heartbeats": (sent(seen=None), Verdict.UNKNOWN, "sends no heartbeats"),
    "acked another one, so it was there": (
        sent(seen=None, acked_others=True, here=Acks(9, 8), elsewhere=GOOD),
        Verdict.DENIED_ON_DEVICE,
        "8 of 9",
    ),
    "the next heartbeat may still come": (
        sent(seen=SILENT, others=Others(6, 5), judged_at=NOON + 60 * SECOND),
        Verdict.UNKNOWN,
        "may still come",
    ),
    "the others' next heartbeats may still come": (
        sent(seen=SILENT, others=Others(6, 0, 4)),
        Verdict.UNKNOWN,
        "not known yet",
    ),
    "we heard nobody at all": (
        sent(seen=SILENT, others=Others(7), fleet=Others(200)),
        Verdict.UNKNOWN,
        "our server heard nobody",
    ),
    "nobody to compare with": (sent(), Verdict.UNKNOWN, "too few other devices"),
    "the site gets nothing, and elsewhere nobody is asked": (
        sent(here=Acks(9, 0), elsewhere=Acks(2, 2)),
        Verdict.UNKNOWN,
        "other sites do not tell",
    ),
    "the inbox of a device that is never heard": (message(provider="inbox"), Verdict.UNKNOWN, "no heartbeats"),
}


@pytest.mark.parametrize(("found", "verdict", "words"), CASES.values(), ids=CASES.keys())
def test_the_verdict_and_what_it_rests_on(found: Evidence, verdict: Verdict, words: str) -> None:
    judged = judge(found)

    assert judged.verdict is verdict, judged.evidence
    assert words in judged.evidence
    assert judged.evidence.endswith(".")


def test_every_verdict_has_a_case() -> None:
    assert {verdict for _, verdict, _ in CASES.values()} == set(Verdict)


def test_the_sentence_fits_its_column() -> None:
    judged = judge(message(tried=tried("rejected", "x" * 100), gate=Gate("fcm", "failing", "y" * 200, 1.0)))

    assert len(judged.evidence) <= 300
