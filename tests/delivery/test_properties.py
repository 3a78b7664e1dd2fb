"""What holds for every input, not only for those that somebody thought of."""

import string
from contextlib import suppress
from datetime import UTC
from random import Random

import pytest
from django.test import override_settings
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from delivery import ack_tokens, acks, backoff, breaker, crash_points, fanout
from delivery.models import Device, Job, PushNotificationLog
from delivery.models.device import Lifecycle
from delivery.models.receipt import ReceiptStatus
from tests.delivery.rows import a_device, a_job

SECONDS = st.floats(0, 10_000)
ROUNDING = 1e-6


# --- when to try again
@given(attempt=st.integers(1, 10**6), base_s=SECONDS, cap_s=SECONDS, floor_s=st.floats(0, 1e12), chance=st.randoms())
def test_a_delay_lies_between_what_was_asked_for_and_the_doubled_base(
    attempt: int, base_s: float, cap_s: float, floor_s: float, chance: Random
) -> None:
    delay_s = backoff.retry_delay_s(attempt, base_s=base_s, cap_s=cap_s, floor_s=floor_s, uniform=chance)

    jitter_s = min(cap_s, base_s * 2.0 ** min(attempt - 1, 1_000))
    assert min(floor_s, backoff.MOST_S) <= delay_s <= backoff.MOST_S
    assert delay_s <= floor_s + jitter_s + ROUNDING


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.001, 0.5, 3.0, 600.0]), st.integers(0, 300), st.integers(0, 50)), max_size=30
    )
)
def test_repeats_never_exceed_a_tenth_of_all_attempts_and_one_a_second(history: list[tuple[float, int, int]]) -> None:
    """Each step: seconds since the last, fresh attempts, and how many attempts fail and are to be repeated."""
    budget = breaker.RetryBudget()
    now_s, fresh, due_s = 0.0, [], []

    for passed_s, attempts, failures in history:
        now_s += passed_s
        budget.earn(attempts, now_s)
        fresh.append((now_s, attempts))
        due_s += [now_s + budget.spend() for _ in range(failures)]

    for repeats, at_s in enumerate(sorted(due_s), 1):
        first = sum(attempts for since_s, attempts in fresh if since_s <= at_s)
        started_s = fresh[0][0]
        assert repeats <= 0.1 * first + (at_s - started_s) + 1 + ROUNDING


@given(full_per_s=st.none() | st.floats(0.1, 1e6), first_s=st.floats(0, 100), later_s=st.floats(0, 100))
def test_the_rate_only_climbs_from_a_tenth_and_is_full_within_a_minute(
    full_per_s: float | None, first_s: float, later_s: float
) -> None:
    first_s, later_s = sorted((first_s, later_s))
    most_per_s = full_per_s or breaker.RECOVERED_PER_S

    rate = breaker.climbing_rate_per_s(first_s, full_per_s)
    later = breaker.climbing_rate_per_s(later_s, full_per_s)

    assert rate is None or 0.1 * most_per_s <= rate * (1 + ROUNDING) <= most_per_s * (1 + 2 * ROUNDING)
    assert later is None or (rate is not None and rate <= later * (1 + ROUNDING))
    assert first_s < 60 or rate == full_per_s


# --- what devices say
TEXT = st.text(st.characters(), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
ABOUT_A_TIME = (
    st.datetimes(timezones=st.none() | st.timezones()).map(lambda moment: moment.isoformat())
    | st.from_regex(
        r"\A-?[0-9]{1,5}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-6][0-9](\.[0-9]+)?)?)?(Z|[+-][0-9:]+)?\Z"
    )
    | JSON
)
ABOUT_AN_ACK = st.fixed_dictionaries(
    {},
    optional={
        "message_id": st.uuids().map(str) | JSON,
        "status": st.sampled_from(["delivered", "failed", "opened", "clicked", "unknown", ""]) | JSON,
        "device_id": st.text(string.ascii_letters + "_.:-", max_size=101) | JSON,
        "received_at": ABOUT_A_TIME,
        "ack_token": JSON,
        "error_code": TEXT | JSON,
        "error_message": JSON,
        "platform": JSON,
    },
)


@settings(max_examples=settings().max_examples * 3)
@given(ABOUT_AN_ACK | JSON)
def test_an_ack_is_read_or_refused_whatever_the_json(item: object) -> None:
    try:
        ack = acks.parse(item)
    except acks.BadAck:
        return

    said = [ack.message_id, ack.device_id or "", ack.ack_token, ack.error_code, ack.error_message]
    assert ack.status in ReceiptStatus.values
    assert ack.received_at is None or ack.received_at.tzinfo == UTC
    assert not any(acks.UNSTORABLE.search(text) for text in [*said, *ack.details.values()])


MESSAGE_ID = st.uuids().map(str)
DEVICE_ID = st.text(string.ascii_letters + string.digits + "_.:-", min_size=1, max_size=100)
KEYS = st.lists(st.text(string.printable, min_size=1), min_size=1, max_size=3, unique=True)


@given(MESSAGE_ID, MESSAGE_ID, DEVICE_ID, DEVICE_ID, KEYS, st.text(string.printable, min_size=1))
def test_a_token_is_good_for_its_message_device_and_key_alone(
    message_id: str, other_id: str, device_id: str, other: str, keys: list[str], foreign_key: str
) -> None:
    assume(message_id != other_id and device_id != other and foreign_key not in keys)

    token = ack_tokens.sign(message_id, device_id, keys)

    mac = token.removeprefix(f"{device_id}.")
    assert ack_tokens.device_of(token, message_id.upper(), [foreign_key, *keys]) == device_id
    assert ack_tokens.device_of(token, other_id, keys) is None
    assert ack_tokens.device_of(f"{other}.{mac}", message_id, keys) is None
    assert ack_tokens.device_of(token, message_id, [foreign_key, *keys[1:]]) is None
    assert ack_tokens.device_of(token[:-1], message_id, keys) is None


@given(st.text(st.characters()), st.text(st.characters()), KEYS)
@example("till-1.", "", ["key"])
def test_a_made_up_token_is_nobodys(token: str, message_id: str, keys: list[str]) -> None:
    assert ack_tokens.device_of(token, message_id, keys) is None


# --- who gets a message
class Killed(BaseException):
    """Leaves the transaction as a killed process does."""


CHUNK = 3
GROUP = st.sampled_from(["tills", "signs"])
CHANGE = st.tuples(
    st.integers(0, 9), st.fixed_dictionaries({}, optional={"segment": GROUP, "lifecycle": st.sampled_from(Lifecycle)})
)
ROUND = st.tuples(st.lists(CHANGE, max_size=4), st.sampled_from(["", "", "before_chunk_commit", "after_chunk_commit"]))


@pytest.mark.django_db
@settings(max_examples=settings().max_examples // 4)
@given(segments=st.lists(GROUP, min_size=10, max_size=10), rounds=st.lists(ROUND, max_size=8))
def test_each_device_that_matches_when_its_chunk_is_read_has_one_message(
    segments: list[str], rounds: list[tuple[list[tuple[int, dict[str, str]]], str]]
) -> None:
    """Devices change between chunks, and the process dies now and then. The last device came after the order."""
    for model in (PushNotificationLog, Job, Device):
        model.objects.all().delete()
    devices = [a_device(f"till-{number}", segment=segment) for number, segment in enumerate(segments)]
    a_job(target={"segments": ["tills"]}, last_device=devices[-2].pk)
    wanted: dict[str, str] = {}
    written_to, done = 0, False

    for changes, dies in [*rounds, *[([], "")] * 5]:
        for number, fields in changes:
            Device.objects.filter(pk=devices[number].pk).update(**fields)
        matching = Device.objects.filter(segment="tills", pk__gt=written_to, pk__lt=devices[-1].pk).order_by("pk")
        chunk = [] if done else list(matching[:CHUNK])

        fan_out(dies)

        if dies != "before_chunk_commit":
            wanted |= {device.device_id: status_at_first(device) for device in chunk}
            written_to = chunk[-1].pk if chunk else written_to
            done = done or len(chunk) < CHUNK

    found = PushNotificationLog.objects.all()
    assert {row.device_id: row.status for row in found} == wanted
    assert len(found) == len(wanted)


def fan_out(dies: str) -> None:
    def passing(place: str) -> None:
        if place == dies:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, override_settings(FANOUT_CHUNK=CHUNK), suppress(Killed):
        patch.setattr(crash_points, "passing", passing)
        fanout.fan_out_chunk()


def status_at_first(device: Device) -> str:
    return "skipped" if device.lifecycle in (Lifecycle.SUSPENDED, Lifecycle.RETIRED) else "pending"
