"""What the database chooses for a new message is what routing's rule says."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery import clocks, fanout, routing
from delivery.models import Channel, Device, Job, PushNotificationLog, setwise
from delivery.models.keys import new_message_ids
from delivery.models.push_log import INBOX
from tests.delivery.rows import a_channel, a_device, a_job

DECLARED: st.SearchStrategy[Any] = st.sampled_from([None, "", "x", 0, 1, True, False, [], {}, ["x"]])
CAPABILITIES = st.dictionaries(st.sampled_from(["fcm_token", "mqtt_client_id", "has_gms"]), DECLARED)
CREDENTIAL = st.sampled_from(["default", "other"])
WAY = st.tuples(
    st.sampled_from(["fcm", "mqtt", "wns"]), CREDENTIAL, st.integers(0, 2), st.sampled_from(["active", "parked"])
)
DEVICE = st.fixed_dictionaries(
    {
        "capabilities": CAPABILITIES,
        "ways": st.lists(WAY, max_size=4),
        "chosen": st.integers(-1, 3),
        "lifecycle": st.sampled_from(["active", "active", "pending", "suspended", "retired"]),
        "key": st.sampled_from(["key", ""]),
    }
)
PAIRS = st.sets(st.tuples(st.sampled_from(["fcm", "mqtt", "wns"]), CREDENTIAL))


@pytest.mark.django_db
@settings(max_examples=settings().max_examples // 8)
@given(st.lists(DEVICE, min_size=1, max_size=5), PAIRS, PAIRS)
def test_the_database_chooses_the_way_that_routing_would(
    described: list[dict[str, Any]], usable: set[tuple[str, str]], shut: set[tuple[str, str]]
) -> None:
    for model in (PushNotificationLog, Job, Channel, Device):
        model.objects.all().delete()
    made = [make(number, each) for number, each in enumerate(described)]
    by = {device.pk: channels[each["chosen"]] for (device, channels), each in zip(made, described, strict=True)
          if 0 <= each["chosen"] < len(channels)}  # fmt: skip
    devices = [device for device, _ in made]

    to_send = write(devices, by, usable=usable, open_now=usable - shut)

    written = {row.device_id: row for row in PushNotificationLog.objects.all()}
    for device in devices:
        row = written[device.device_id]
        expected = as_routing_says(device, by, usable=usable, open_now=usable - shut)
        assert (row.provider, row.credential, row.channel_id, row.fallback_from, row.error_code) == expected
        assert row.status == ("skipped" if row.error_code else "pending")
        assert (row.next_attempt_at is None) == (row.status == "skipped" or row.provider == INBOX)
    assert sum(to_send.values()) == sum(row.next_attempt_at is not None for row in written.values())


def make(number: int, described: Mapping[str, Any]) -> tuple[Device, list[int]]:
    device = a_device(
        f"till-{number}",
        key=described["key"],
        lifecycle=described["lifecycle"],
        capabilities=described["capabilities"],
    )
    return device, [
        a_channel(device, provider, rank, credential=credential, state=state, address=f"{number}-{place}").pk
        for place, (provider, credential, rank, state) in enumerate(described["ways"])
    ]


def write(
    devices: Sequence[Device], by: Mapping[int, int], *, usable: set[tuple[str, str]], open_now: set[tuple[str, str]]
) -> Mapping[str, int]:
    job = a_job(now=clocks.db_now())
    return PushNotificationLog.objects.insert_for(
        [device.pk for device in devices],
        job_id=job.job_id,
        priority=job.priority,
        created_at=job.created_at,
        expires_at=job.expires_at,
        open_now=open_now,
        usable=usable,
        by=by,
    )


def as_routing_says(
    device: Device, by: Mapping[int, int], *, usable: set[tuple[str, str]], open_now: set[tuple[str, str]]
) -> tuple[str, str, int | None, str, str]:
    order = routing.in_order(fanout.usable_ways([device.pk])[device.pk], device.capabilities)
    order.sort(key=lambda way: way.channel_id != by.get(device.pk))
    way = routing.first_way(order, frozenset(open_now)) or routing.first_way(order, frozenset(usable))
    skipped = ""
    if device.lifecycle in ("suspended", "retired"):
        skipped = f"device_{device.lifecycle}"
    elif way is None and not device.has_key:
        skipped = "no_channel"
    fallback_from = order[0].provider if order and way != order[0] and not skipped else ""
    if way is None:
        return INBOX, "", None, fallback_from, skipped
    return way.provider, way.credential, way.channel_id, fallback_from, skipped


@pytest.mark.postgres_only
@pytest.mark.django_db
def test_a_birth_reads_the_channels_of_its_devices_and_no_others() -> None:
    """Also where most devices came after the plan was made."""
    devices = [a_device(f"till-{number}", capabilities={"has_gms": False}) for number in range(100)]
    for device in devices:
        a_channel(device, "fcm", address=device.device_id)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE delivery_channel, delivery_device")
    setwise.find_by_key(True)
    both = {("fcm", "default"), ("mqtt", "default")}
    write(devices[:1], {}, usable=both, open_now=both)
    for device in devices:
        a_channel(device, "mqtt", 1, address=device.device_id)

    before = channels_read()
    assert write(devices[:1], {}, usable=both, open_now=both) == {"mqtt": 1}
    assert channels_read() - before == 2 + 2
    setwise.find_by_key(False)


def channels_read() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
                       " WHERE relname = 'delivery_channel'")  # fmt: skip
        [read] = cursor.fetchone()
    return int(read)


def test_message_ids_that_are_made_together_have_nothing_in_common_but_their_moment() -> None:
    made = new_message_ids(1_000)

    assert len(set(made)) == 1_000
    assert {(each.version, each.variant) for each in made} == {(7, "specified in RFC 4122")}
    assert len({each.int >> 80 for each in made}) == 1
    for bit in {*range(76)} - {62, 63}:
        assert 350 < sum(each.int >> bit & 1 for each in made) < 650
