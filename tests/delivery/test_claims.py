"""What batches hold stands beside the log as well, until their last result is written."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, transaction

from delivery import clocks, sending
from delivery.models import Claim, PushNotificationLog, setwise
from delivery.models.push_log_rows import Sent
from delivery.models.push_log_verbs import PushNotificationLogQuerySet
from tests import races
from tests.delivery.rows import LEASE, claim, end_leases, ids, messages

pytestmark = pytest.mark.django_db(transaction=True)

LOG = PushNotificationLog.objects


def test_a_claim_names_what_it_holds_until_it_ends() -> None:
    rows = messages(3)
    claim(token := uuid4())

    [held] = Claim.objects.all()
    assert (held.token, set(held.held)) == (token, ids(rows))
    assert {held.claimed_until} == set(LOG.values_list("claimed_until", flat=True))
    assert LOG.end_claim(token) == 1
    assert not Claim.objects.exists()


def test_who_finds_nothing_claims_nothing() -> None:
    assert claim(uuid4()) == []
    assert not Claim.objects.exists()


def test_a_batch_that_is_written_is_no_claim_any_more() -> None:
    messages(3)

    assert sending.send_batch("simulation") == 3

    assert not Claim.objects.exists()


def test_what_is_taken_by_hand_is_freed_as_well() -> None:
    rows = messages(2)
    taken = LOG.filter(pk__in=ids(rows)).take(token=uuid4(), until=clocks.db_now())

    assert {row.id for row in taken} == ids(rows)
    assert LOG.release_lost(clocks.db_now(), limit=10) == 2
    assert not Claim.objects.exists()


def test_the_dead_are_looked_through_up_to_the_limit_and_forgotten_only_when_all_is_free() -> None:
    messages(5)
    claim(uuid4())
    end_leases()

    freed = [(LOG.release_lost(clocks.db_now(), limit=2), Claim.objects.count()) for _ in range(3)]

    assert freed == [(2, 1), (2, 1), (1, 0)]


def test_a_claim_that_ended_well_but_was_not_noted_frees_nothing() -> None:
    messages(2)
    rows = claim(token := uuid4())
    LOG.mark_sent([Sent(row.id, clocks.db_now(), "", "") for row in rows], token=token)
    end_leases()

    assert LOG.release_lost(clocks.db_now() + LEASE, limit=10) == 0
    assert not Claim.objects.exists()


@pytest.mark.postgres_only
def test_a_row_that_somebody_writes_to_is_looked_at_again() -> None:
    first, _ = messages(2)
    claim(uuid4())
    end_leases()

    with races.rival() as rival:
        rival.does(lambda: LOG.filter(pk=first.pk).update(error_message="looked at"))
        assert LOG.release_lost(clocks.db_now(), limit=10) == 1
        assert Claim.objects.count() == 1
        rival.commit()

    assert LOG.release_lost(clocks.db_now(), limit=10) == 1
    assert not Claim.objects.exists()


@pytest.mark.postgres_only
def test_a_claim_touches_no_index_of_the_log() -> None:
    """Or each message would cost an entry in every one of them (decision 27)."""
    messages(20)

    with transaction.atomic(), connection.cursor() as cursor:
        claim(uuid4())
        cursor.execute("SELECT pg_stat_get_xact_tuples_hot_updated('push_notification_logs'::regclass)")
        assert cursor.fetchone() == (20,)


@pytest.mark.postgres_only
def test_rows_are_found_by_key_however_small_the_table_seems() -> None:
    """A log of three rows is one page: to read all of it seems cheaper than to look into an index."""
    messages(3)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE push_notification_logs")
    assert "Seq Scan" in plan()

    setwise.find_by_key(True)
    assert "Seq Scan" not in plan()

    setwise.find_by_key(False)
    assert "Seq Scan" in plan()


def plan() -> str:
    until = clocks.db_now() + timedelta(minutes=1)
    return LOG.filter(claim_token=uuid4(), claimed_until__lt=until, pk__in=[1, 2, 3]).explain()


def test_an_outage_after_the_last_result_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> int:
        raise OperationalError("server closed the connection unexpectedly")

    messages(3)
    with monkeypatch.context() as broken:
        broken.setattr(PushNotificationLogQuerySet, "end_claim", away)
        assert sending.send_batch("simulation") == 3
    end_leases()

    assert (Claim.objects.count(), LOG.release_lost(clocks.db_now(), limit=10), Claim.objects.count()) == (1, 0, 0)
