"""The numbers of messages that lived through the pipeline's own verbs, counted twice."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from random import Random
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from redis import Redis

from analytics import rollups
from analytics.models import HourlyRollup, RollupState
from delivery import acks, clocks, inbox, results, sweeps
from delivery.in_flight import Attempt
from delivery.models import DeliveryAttempt, Device, PushNotificationLog
from delivery.models.push_log_rows import Claimed
from delivery.outcomes import Outcome, OutcomeKind, accepted
from tests.analytics import record
from tests.delivery.rows import a_channel, claim, messages

PROVIDERS = ("simulation", "mqtt", "fcm")


def verify() -> str:
    said = StringIO()
    try:
        call_command("verify_rollups", stdout=said, stderr=StringIO())
    except CommandError as error:
        said.write(f"{error} (exit code {error.returncode})")
    return said.getvalue()


def order(rng: Random, number: int) -> None:
    ttl_s = rng.choice([1, 300])
    for row in messages(rng.randrange(1, 4), prefix=f"till-{number}", ttl_s=ttl_s, key=rng.choice(["key", ""])):
        for rank, provider in enumerate(PROVIDERS[1:], 1):
            a_channel(row.device, provider, rank)


def attempt(rng: Random, row: Claimed) -> Attempt:
    refused = Outcome(kind=rng.choice(list(OutcomeKind)), code="said no")
    outcome = rng.choice([accepted("p"), accepted("p"), refused, None])
    started_at = clocks.db_now() - timedelta(milliseconds=rng.randrange(50))
    return Attempt(row, outcome, started_at, rng.randrange(2_000))


def send(rng: Random) -> None:
    PushNotificationLog.objects.filter(status="pending", claim_token=None).exclude(provider="inbox").update(
        next_attempt_at=F("created_at")
    )
    for provider in PROVIDERS:
        token = uuid4()
        rows = claim(token, provider=provider, limit=rng.randrange(1, 6))
        if rows and rng.random() < 0.2:
            acknowledge(rng)  # overtakes the result
        results.write([attempt(rng, row) for row in rows], token)


def acknowledge(rng: Random) -> None:
    rows = PushNotificationLog.objects.exclude(status="skipped")
    for row in rng.sample(list(rows), min(len(rows), 2)):
        said = {"message_id": str(row.message_id), "device_id": row.device_id}
        status = rng.choice(["delivered", "delivered", "opened", "clicked", "failed"])
        clock = clocks.db_now() + timedelta(seconds=rng.choice([0, 0, 3_600]))
        ack = acks.parse({**said, "status": status, "received_at": clock.isoformat()})
        acks.record([acks.ProvenAck(ack, row.device_id)])


def hedge(rng: Random) -> None:
    PushNotificationLog.objects.filter(status="sent").update(hedge_at=F("sent_at"))
    sweeps.hedge()


def fetch(rng: Random) -> None:
    inbox.hand_out(rng.choice(list(Device.objects.values_list("device_id", flat=True))))


def expire(rng: Random) -> None:
    sweeps.expire()


def age(rng: Random) -> None:
    """All that happened so far was some time earlier. Nothing but the rows is known any more."""
    by = timedelta(minutes=rng.choice([7, 40]))
    moments = (
        "created_at",
        "sent_at",
        "expires_at",
        "expired_at",
        "received_at",
        "acked_at",
        "opened_at",
        "clicked_at",
    )
    PushNotificationLog.objects.update(**{name: F(name) - by for name in moments})
    DeliveryAttempt.objects.update(started_at=F("started_at") - by)
    RollupState.objects.all().delete()
    HourlyRollup.objects.all().delete()


STEPS: list[Callable[[Random], None]] = [send, send, send, acknowledge, acknowledge, hedge, fetch, expire, age]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(3))
def test_numbers_of_random_lives_equal_their_raw_rows(seed: int, broker: Redis) -> None:
    rng = Random(seed)

    for number in range(18):
        order(rng, number)
        rng.choice(STEPS)(rng)
        rng.choice(STEPS)(rng)
        rollups.roll_up()

    assert "hours equal their raw rows" in verify()
    assert PushNotificationLog.objects.filter(status="delivered").exists()
    assert DeliveryAttempt.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_wrong_number_is_named_by_hour_site_and_provider() -> None:
    earlier = clocks.db_now() - timedelta(hours=3)
    for _ in range(3):
        record.message(record.device(), earlier, status="failed")
    rollups.roll_up()
    HourlyRollup.objects.update(failed=4)

    said = verify()

    assert f"{earlier:%Y-%m-%d %H}h no site fcm failed: rollup 4, raw rows 3" in said
    assert "1 of 4 hours differ from their raw rows (exit code 1)" in said


@pytest.mark.django_db(transaction=True)
def test_an_empty_record_has_nothing_that_differs() -> None:
    assert verify() == "0 hours equal their raw rows\n"
