"""Every arrow of a message's life is one guarded UPDATE; the row count says who won."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from delivery import clocks
from delivery.models import PushNotificationLog
from delivery.models.push_log_rows import Again, Arrived, Failed, Refused, Sent
from delivery.priority import Priority
from tests import races
from tests.delivery.rows import LEASE, a_device, claim, ids, messages

pytestmark = pytest.mark.django_db(transaction=True)

LOG = PushNotificationLog.objects
TOKEN = UUID(int=1)


def arrived(row: PushNotificationLog, received_at: datetime | None = None, **fields: Any) -> Arrived:
    return Arrived(
        message_id=row.message_id,
        device_id=row.device_id,
        received_at=received_at or clocks.db_now(),
        by_device_clock=received_at is not None,
        opened_at=fields.get("opened_at"),
        clicked_at=fields.get("clicked_at"),
    )


def sent(row: PushNotificationLog, sent_at: datetime | None = None) -> Sent:
    return Sent(row.pk, sent_at or clocks.db_now(), "p-1", "")


def again(row: PushNotificationLog, due_at: datetime | None) -> Again:
    return Again(row.pk, row.provider, row.credential, row.channel_id, due_at, 1, "", "503", "busy")


# Each verb as something that one side of a race does to a row; the answer is how many rows it changed.
def do_claim(row: PushNotificationLog) -> int:
    return len(claim(uuid4()))


def do_sent(row: PushNotificationLog) -> int:
    return len(LOG.mark_sent([sent(row)], token=TOKEN))


def do_again(row: PushNotificationLog) -> int:
    return LOG.mark_due_again([again(row, clocks.db_now())], token=TOKEN)


def do_fail(row: PushNotificationLog) -> int:
    return LOG.mark_failed([Failed(row.pk, "rejected", "")], token=TOKEN)


def do_give_back(row: PushNotificationLog) -> int:
    return LOG.give_back([row.pk], token=TOKEN, due_at=clocks.db_now())


def do_ack(row: PushNotificationLog) -> int:
    return len(LOG.mark_delivered([arrived(row)], now=clocks.db_now()))


def do_refuse(row: PushNotificationLog) -> int:
    refused = [Refused(row.message_id, row.device_id, "no_disk", "")]
    return len(LOG.mark_failed_by_device(refused, now=clocks.db_now()))


def do_hand_out(row: PushNotificationLog) -> int:
    return LOG.hand_out(row.device_id, [row.pk], clocks.db_now())


def do_expire(row: PushNotificationLog) -> int:
    return LOG.expire(row.expires_at, limit=10)


def do_cancel(row: PushNotificationLog) -> int:
    assert row.job_id is not None
    return LOG.cancel(row.job_id, now=clocks.db_now(), code="cancelled")


def do_release(row: PushNotificationLog) -> int:
    return LOG.release_lost(clocks.db_now() + LEASE + timedelta(seconds=1), limit=10)


def do_move(row: PushNotificationLog) -> int:
    return LOG.move_waiting([again(row, clocks.db_now())], seen_at=clocks.db_now())


def do_hedge(row: PushNotificationLog) -> int:
    return LOG.hedge([again(row, clocks.db_now())])


def do_still_sent(row: PushNotificationLog) -> int:
    return LOG.mark_still_sent([row.pk], token=TOKEN)


Verb = Callable[[PushNotificationLog], int]


def pending() -> PushNotificationLog:
    return messages()[0]


def held() -> PushNotificationLog:
    row = messages()[0]
    claim(TOKEN)
    return row


def already_sent() -> PushNotificationLog:
    row = held()
    do_sent(row)
    return row


def to_hedge() -> PushNotificationLog:
    row = already_sent()
    LOG.filter(pk=row.pk).update(hedge_at=clocks.db_now())
    return row


RACES: list[tuple[Callable[[], PushNotificationLog], Verb, Verb, int, str]] = [
    # the row, who commits first, who comes second, how many rows the second changes, the status in the end
    (pending, do_claim, do_claim, 0, "pending"),
    (pending, do_claim, do_hand_out, 0, "pending"),
    (pending, do_claim, do_cancel, 0, "pending"),
    (pending, do_hand_out, do_claim, 0, "sent"),
    (pending, do_cancel, do_claim, 0, "cancelled"),
    (pending, do_expire, do_claim, 0, "expired"),
    (pending, do_expire, do_cancel, 0, "expired"),
    (pending, do_ack, do_claim, 0, "delivered"),
    (pending, do_claim, do_move, 0, "pending"),
    (pending, do_expire, do_move, 0, "expired"),
    (pending, do_ack, do_move, 0, "delivered"),
    (held, do_ack, do_sent, 1, "delivered"),
    (held, do_sent, do_ack, 1, "delivered"),
    (held, do_ack, do_again, 0, "delivered"),
    (held, do_ack, do_fail, 0, "delivered"),
    (held, do_ack, do_give_back, 0, "delivered"),
    (held, do_fail, do_ack, 1, "delivered"),
    (held, do_again, do_sent, 0, "pending"),
    (held, do_give_back, do_sent, 0, "pending"),
    (held, do_release, do_sent, 0, "pending"),
    (held, do_release, do_again, 0, "pending"),
    (held, do_release, do_fail, 0, "pending"),
    (held, do_release, do_give_back, 0, "pending"),
    (held, do_release, do_still_sent, 0, "pending"),
    (held, do_ack, do_still_sent, 0, "delivered"),
    (held, do_refuse, do_sent, 1, "failed"),
    (to_hedge, do_hedge, do_hedge, 0, "pending"),
    (to_hedge, do_hedge, do_ack, 1, "delivered"),
    (to_hedge, do_ack, do_hedge, 0, "delivered"),
    (to_hedge, do_expire, do_hedge, 0, "expired"),
    (already_sent, do_ack, do_ack, 0, "delivered"),
    (already_sent, do_ack, do_expire, 0, "delivered"),
    (already_sent, do_expire, do_ack, 1, "delivered"),
    (already_sent, do_cancel, do_ack, 1, "delivered"),
    (already_sent, do_refuse, do_ack, 1, "delivered"),
    (already_sent, do_ack, do_refuse, 0, "delivered"),
    (already_sent, do_ack, do_cancel, 0, "delivered"),
    (already_sent, do_expire, do_expire, 0, "expired"),
    (already_sent, do_expire, do_refuse, 0, "expired"),
    (already_sent, do_cancel, do_expire, 0, "cancelled"),
]


@pytest.mark.parametrize(
    ("make", "first", "second", "changed", "status"),
    RACES,
    ids=[f"{make.__name__}-{first.__name__[3:]}-then-{second.__name__[3:]}" for make, first, second, _, _ in RACES],
)
def test_the_second_of_two_connections_sees_what_the_first_committed(
    make: Callable[[], PushNotificationLog], first: Verb, second: Verb, changed: int, status: str
) -> None:
    row = make()

    with races.rival() as rival:
        assert rival.does(lambda: first(row)) == 1
        other = races.started(lambda: second(row))
        rival.commit()
        result = other.result(30)

    row.refresh_from_db()
    assert (result, row.status) == (changed, status)


def test_two_workers_claiming_at_once_share_the_rows_without_overlap() -> None:
    rows = messages(40)

    first, second = races.at_once(lambda: claim(uuid4(), limit=30), lambda: claim(uuid4(), limit=30))

    taken = [row.id for row in first + second]
    assert len(taken) == len(set(taken))
    assert set(taken) <= ids(rows)
    assert len(claim(uuid4())) == 40 - len(taken)


def test_the_more_urgent_and_the_longer_due_go_first() -> None:
    messages(3, age_s=10)
    [oldest] = messages(1, age_s=60)

    taken = claim(TOKEN, limit=1)

    assert [row.id for row in taken] == [oldest.pk]


def test_a_claim_counts_an_attempt_and_giving_back_takes_it_off_again() -> None:
    [row] = messages()

    [taken] = claim(TOKEN)
    assert LOG.give_back([row.pk], token=TOKEN, due_at=clocks.db_now()) == 1

    row.refresh_from_db()
    assert (taken.attempt_count, row.attempt_count, row.claim_token) == (1, 0, None)
    assert [r.attempt_count for r in claim(uuid4())] == [1]


def test_what_has_expired_is_not_claimed() -> None:
    messages(ttl_s=60, age_s=61)

    assert claim(TOKEN) == []


def test_a_row_whose_holder_died_is_claimed_alone() -> None:
    rows = messages(3)
    claim(TOKEN)

    assert LOG.release_lost(clocks.db_now() + LEASE, limit=100) == 3

    later = LEASE.total_seconds() + 1
    now = clocks.db_now() + timedelta(seconds=later)
    assert claim(uuid4(), at_s=later) == []
    alone = LOG.claim_lost("simulation", "default", [Priority.NORMAL], token=uuid4(), now=now, until=now + LEASE)
    assert len(alone) == 1
    assert alone[0].id in ids(rows)


def test_a_row_that_kills_three_holders_alone_is_poison_and_its_neighbours_are_not() -> None:
    bad, good = messages(2, ttl_s=86_400)
    now = clocks.db_now()
    claim(TOKEN)
    LOG.release_lost(now + LEASE * 2, limit=10)

    for death in range(1, 4):
        now += LEASE * 2
        taken: list[int] = []
        while bad.pk not in taken:
            token = uuid4()
            [row] = LOG.claim_lost("simulation", "default", [Priority.NORMAL], token=token, now=now, until=now + LEASE)
            taken.append(row.id)
            if row.id == good.pk:
                LOG.mark_sent([Sent(row.id, now, "", "")], token=token)
        assert LOG.release_lost(now + LEASE, limit=10) == 1
        bad.refresh_from_db()
        assert bad.lost_claims == death

    good.refresh_from_db()
    assert (bad.status, bad.error_code, good.status) == ("failed", "poison", "sent")


def test_an_ack_before_our_own_sent_wins_and_the_latency_is_filled_in_later() -> None:
    row = held()
    started_at = clocks.db_now() - timedelta(seconds=3)
    LOG.mark_delivered([arrived(row, started_at + timedelta(milliseconds=250))], now=clocks.db_now())

    assert LOG.mark_sent([sent(row, started_at)], token=TOKEN) == {row.id}

    row.refresh_from_db()
    assert (row.status, row.sent_at, row.latency_ms, row.provider_message_id) == ("delivered", started_at, 250, "p-1")


def test_an_ack_after_its_time_is_late_even_before_the_sweep_came() -> None:
    row = already_sent()

    LOG.mark_delivered([arrived(row)], now=row.expires_at + timedelta(seconds=1))

    row.refresh_from_db()
    assert (row.status, row.late, row.expired_at) == ("delivered", True, row.expires_at)


def test_an_ack_in_time_stays_on_time_when_opened_is_reported_after_the_end() -> None:
    row = already_sent()
    LOG.mark_delivered([arrived(row)], now=clocks.db_now())

    LOG.mark_delivered([arrived(row, opened_at=clocks.db_now())], now=row.expires_at + timedelta(hours=1))

    row.refresh_from_db()
    assert (row.late, row.opened_at is not None) == (False, True)


@pytest.mark.parametrize(
    ("offset_ms", "device_says_s", "latency_ms", "skewed"),
    [
        (None, 0.4, 400, False),
        (180_000, -179.6, 400, False),
        (None, -1.0, 0, False),
        (None, -5.0, None, True),
        (None, 3600.0, None, True),
        (0, -31_536_000.0, None, True),
    ],
    ids=[
        "true clock",
        "three minutes slow, known",
        "within the tolerance",
        "before it was sent",
        "an hour ahead",
        "a year back",
    ],
)
def test_latency_uses_the_corrected_time_and_leaves_out_what_makes_no_sense(
    offset_ms: int | None, device_says_s: float, latency_ms: int | None, skewed: bool
) -> None:
    row = held()
    row.device.clock_offset_ms = offset_ms
    row.device.save()
    sent_at = clocks.db_now() - timedelta(seconds=1)
    LOG.mark_sent([sent(row, sent_at)], token=TOKEN)
    said = sent_at + timedelta(seconds=device_says_s)

    LOG.mark_delivered([arrived(row, said)], now=clocks.db_now())

    row.refresh_from_db()
    assert (row.received_at, row.latency_ms, row.clock_skewed) == (said, latency_ms, skewed)


def test_an_ack_from_another_device_changes_nothing() -> None:
    row = already_sent()
    a_device("stranger")
    foreign = Arrived(row.message_id, "stranger", clocks.db_now(), False, None, None)

    assert LOG.mark_delivered([foreign], now=clocks.db_now()) == []

    row.refresh_from_db()
    assert row.status == "sent"


def test_a_device_that_has_it_has_it_whatever_we_thought() -> None:
    row = held()
    LOG.mark_failed([Failed(row.pk, "BadDeviceToken", "")], token=TOKEN)

    LOG.mark_delivered([arrived(row)], now=clocks.db_now())

    row.refresh_from_db()
    assert (row.status, row.error_code) == ("delivered", "BadDeviceToken")


def test_a_first_copy_that_arrives_before_the_second_is_sent_is_measured_from_its_own_start() -> None:
    row = to_hedge()
    do_hedge(row)
    row.refresh_from_db()
    first_sent_at = row.sent_at
    assert first_sent_at is not None
    claim(TOKEN)
    LOG.mark_sent([sent(row, first_sent_at + timedelta(seconds=20))], token=TOKEN)

    LOG.mark_delivered([arrived(row, first_sent_at + timedelta(seconds=10))], now=first_sent_at + timedelta(seconds=30))

    row.refresh_from_db()
    assert (row.sent_at, row.latency_ms, row.clock_skewed) == (first_sent_at, 10_000, False)


def test_a_skipped_row_stays_skipped() -> None:
    row = pending()
    LOG.filter(pk=row.pk).update(status="skipped", error_code="device_retired", next_attempt_at=None)

    assert do_ack(row) == 0
    assert do_expire(row) == 0
    assert do_claim(row) == 0


def test_a_row_that_moves_on_remembers_where_it_came_from() -> None:
    row = held()

    LOG.mark_due_again([Again(row.pk, "inbox", "", None, None, 0, "simulation", "gone", "")], token=TOKEN)

    row.refresh_from_db()
    assert (row.provider, row.status, row.next_attempt_at, row.fallback_from) == (
        "inbox",
        "pending",
        None,
        "simulation",
    )


def test_a_live_claim_is_left_to_its_holder_by_expiry_and_cancel() -> None:
    row = messages(ttl_s=30)[0]
    claim(TOKEN)

    assert LOG.expire(row.expires_at, limit=10) == 0
    assert do_cancel(row) == 0
    assert LOG.expire(clocks.db_now() + LEASE, limit=10) == 1
