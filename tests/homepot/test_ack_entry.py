"""Which acks take the short way, what many of them cost together, and what becomes of them when that fails."""

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.cache import caches
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from delivery import ack_tokens, acks
from delivery.api import ack_groups, throttles
from delivery.api.ack_groups import AckCall, Fate, Groups
from delivery.counters import SharedCounters, counters
from delivery.models import Device, PushNotificationLog, setwise
from tests.delivery.ack_entry import EntryClient, commit_and_part
from tests.delivery.rows import messages

ACK = "/api/v1/push/ack"
BATCH = "/api/v1/push/ack/batch"


def said(message: PushNotificationLog, **fields: Any) -> dict[str, Any]:
    return {"message_id": str(message.message_id), "device_id": message.device_id, **fields}


def key_of(device_id: str, key: str = "key") -> dict[str, str]:
    return {"HTTP_X_DEVICE_ID": device_id, "HTTP_X_API_KEY": key}


@pytest.fixture
def client() -> EntryClient:
    return EntryClient()


@pytest.fixture
def message(transactional_db: None) -> PushNotificationLog:
    [row] = messages()
    Device.objects.update(key_used_at=row.created_at)
    return row


def test_a_bare_ack_one_with_a_token_and_one_with_a_key_need_no_view(
    client: EntryClient, message: PushNotificationLog, settings: LazySettings
) -> None:
    token = ack_tokens.sign(str(message.message_id), message.device_id, settings.ACK_KEYS)

    answers = [
        client.post(ACK, said(message)),
        client.post(ACK, {"message_id": str(message.message_id), "ack_token": token}),
        client.post(ACK, {"message_id": str(message.message_id)}, **key_of(message.device_id)),
        client.post(BATCH, [said(message), {"message_id": "x"}]),
    ]

    message.refresh_from_db()
    assert [(answer.status_code, client.left_to_the_view) for answer in answers] == [(200, None)] * 4
    assert message.status == "delivered"


@pytest.mark.parametrize(
    "headers",
    [
        {"CONTENT_TYPE": "text/plain"},
        {"HTTP_CONTENT_ENCODING": "gzip"},
        {"HTTP_TRANSFER_ENCODING": "chunked"},
        {"CONTENT_LENGTH": "65537"},
        {"CONTENT_LENGTH": "many"},
        {"HTTP_HOST": "elsewhere.example"},
        {"HTTP_X_API_KEY": "key"},
        {"HTTP_X_DEVICE_ID": "till-1", "HTTP_X_API_KEY": "wrong"},
        {"HTTP_X_DEVICE_ID": "nobody", "HTTP_X_API_KEY": "key"},
    ],
)
def test_what_is_not_plain_is_left_to_the_view_with_its_whole_body(
    client: EntryClient, message: PushNotificationLog, headers: dict[str, str]
) -> None:
    body = json.dumps({"message_id": str(message.message_id)}).encode()

    asyncio.run(client.ask(ACK, body, **headers))

    message.refresh_from_db()
    assert client.left_to_the_view == body
    assert message.status == "pending"


@pytest.mark.parametrize(
    "changed", [{"lifecycle": "suspended"}, {"lifecycle": "retired"}, {"key_hash": ""}, {"key_used_at": None}]
)
def test_a_key_counts_as_the_record_has_it_at_that_moment(
    client: EntryClient, message: PushNotificationLog, changed: dict[str, Any]
) -> None:
    body = json.dumps({"message_id": str(message.message_id)}).encode()
    asyncio.run(client.ask(ACK, body, **key_of(message.device_id)))
    taken_before = client.left_to_the_view is None
    Device.objects.update(**changed)

    asyncio.run(client.ask(ACK, body, **key_of(message.device_id)))

    assert taken_before
    assert client.left_to_the_view == body


def test_acks_of_both_ways_count_against_one_limit(
    client: EntryClient, message: PushNotificationLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches["default"].clear()
    monkeypatch.setitem(throttles.RATES, "ack", throttles.Rate(per_credential=2, per_address=None))
    body = {"message_id": str(message.message_id)}
    headers = key_of(message.device_id)

    codes = [client.post(ACK, body, **headers).status_code for _ in range(2)]
    refused = client.post(ACK, body, **headers)

    assert codes == [200, 200]
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, True)


@pytest.mark.parametrize(("proxies", "forwarded"), [(0, "10.0.0.1"), (1, "10.0.0.1, 10.0.0.2"), (3, " 10.0.0.3 ,x")])
def test_both_ways_see_a_call_come_from_one_address(
    client: EntryClient,
    message: PushNotificationLog,
    monkeypatch: pytest.MonkeyPatch,
    settings: LazySettings,
    proxies: int,
    forwarded: str,
) -> None:
    caches["default"].clear()
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}
    monkeypatch.setitem(throttles.RATES, "ack", throttles.Rate(per_credential=None, per_address=1))

    by_view = APIClient().post(ACK, said(message), HTTP_X_FORWARDED_FOR=forwarded)
    by_entry = client.post(ACK, said(message), HTTP_X_FORWARDED_FOR=forwarded)

    assert (by_view.status_code, by_entry.status_code) == (200, 429)


class Gate:
    """A commit that waits until it may go on."""

    def __init__(self, fate: Fate = Fate.COMMITTED) -> None:
        self.open = threading.Event()
        self.sizes: list[int] = []
        self._fate = fate

    def commit(self, calls: Sequence[AckCall]) -> list[Fate]:
        self.sizes.append(len(calls))
        assert self.open.wait(10)
        return [self._fate] * len(calls)


def a_call(count: int = 1) -> AckCall:
    ack = acks.ProvenAck(acks.Ack(message_id="x"), "till-1")
    return AckCall(proven=[ack] * count, address="127.0.0.1")


def fates(gate: Gate, calls: Sequence[AckCall]) -> list[Fate]:
    """The first call's group is being committed when the others come."""
    groups = Groups(gate.commit)

    async def all_of_them() -> list[Fate]:
        first = asyncio.create_task(groups.commit(calls[0]))
        while not gate.sizes:  # noqa: ASYNC110  (a thread changes it)
            await asyncio.sleep(0.001)
        rest = [asyncio.create_task(groups.commit(call)) for call in calls[1:]]
        await asyncio.sleep(0)
        gate.open.set()
        return list(await asyncio.gather(first, *rest))

    return asyncio.run(all_of_them())


def test_what_comes_during_a_commit_is_the_next_group() -> None:
    gate = Gate()

    found = fates(gate, [a_call() for _ in range(41)])

    assert found == [Fate.COMMITTED] * 41
    assert gate.sizes == [1, 40]


def test_a_group_has_its_limit_and_divides_no_call() -> None:
    gate = Gate()

    fates(gate, [a_call(), *[a_call(100) for _ in range(7)]])

    assert sorted(gate.sizes) == [1, 2, 5]


def test_of_large_groups_two_are_committed_at_once() -> None:
    gate = Gate()
    groups = Groups(gate.commit)

    async def both() -> list[Fate]:
        calls = []
        for number in (1, 2):
            calls.append(asyncio.create_task(groups.commit(a_call(ack_groups.LARGE))))
            while len(gate.sizes) < number:  # noqa: ASYNC110  (a thread changes it)
                await asyncio.sleep(0.001)
        gate.open.set()
        return list(await asyncio.gather(*calls))

    assert asyncio.run(both()) == [Fate.COMMITTED] * 2


def test_beyond_the_limit_a_call_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ack_groups, "MOST_WAITING", 3)

    found = fates(Gate(), [a_call() for _ in range(6)])  # the first is being committed, three wait

    assert found.count(Fate.TOO_MANY) == 2


def test_a_call_whose_turn_comes_late_is_refused_and_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ack_groups, "LATE_S", 0.0)
    gate = Gate()

    found = asyncio.run(Groups(gate.commit).commit(a_call()))

    assert found is Fate.TOO_MANY
    assert gate.sizes == []


def test_a_store_of_limits_that_is_asleep_makes_no_ack_late() -> None:
    shared = counters("default")
    assert isinstance(shared, SharedCounters)
    client = shared._cache.get_client(write=True)

    assert client.connection_pool.connection_kwargs["socket_timeout"] < ack_groups.LATE_S


def test_it_is_known_whether_acks_wait_for_the_next_group() -> None:
    gate = Gate()
    groups = Groups(gate.commit)

    async def waiting() -> list[bool]:
        first = asyncio.create_task(groups.commit(a_call()))
        while not gate.sizes:  # noqa: ASYNC110  (a thread changes it)
            await asyncio.sleep(0.001)
        alone = groups.any_wait()
        second = asyncio.create_task(groups.commit(a_call()))
        await asyncio.sleep(0)
        both = groups.any_wait()
        gate.open.set()
        await asyncio.gather(first, second)
        return [alone, both, groups.any_wait()]

    assert asyncio.run(waiting()) == [False, True, False]


@pytest.mark.parametrize(("fate", "refused"), [(Fate.TOO_MANY, 1), (Fate.AWAY, 0), (Fate.COMMITTED, 0)])
def test_admission_hears_of_an_ack_that_was_one_too_many(fate: Fate, refused: int) -> None:
    client = EntryClient(Groups(lambda calls: [fate] * len(calls)))

    client.post(ACK, {"message_id": "x", "device_id": "till-1"})

    assert client.refused == refused


def test_a_call_that_takes_too_long_is_told_that_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ack_groups, "LONGEST_WAIT_S", 0.01)
    gate = Gate()

    fate = asyncio.run(Groups(gate.commit).commit(a_call()))

    gate.open.set()
    assert fate is Fate.UNKNOWN


@pytest.mark.parametrize("fate", [Fate.AWAY, Fate.TOO_MANY, Fate.UNKNOWN])
def test_what_was_not_confirmed_is_503_with_a_time_to_come_back(fate: Fate) -> None:
    client = EntryClient(Groups(lambda calls: [fate] * len(calls)))

    answer = client.post(ACK, {"message_id": "x", "device_id": "till-1"})

    assert answer.status_code == 503
    assert answer.json()["status_code"] == 503
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_told_to_all_of_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(proven: object) -> None:
        raise OperationalError

    monkeypatch.setattr(acks, "record", away)

    assert commit_and_part([a_call(), a_call()]) == [Fate.AWAY, Fate.AWAY]


@pytest.mark.django_db(transaction=True)
def test_one_that_breaks_its_group_is_found_by_trying_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(proven: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(acks, "record", broken)

    assert commit_and_part([a_call(), a_call()]) == [Fate.NOT_PLAIN, Fate.NOT_PLAIN]


@pytest.mark.django_db(transaction=True)
def test_a_group_asks_as_much_of_the_database_as_one_call() -> None:
    rows = messages(20)
    Device.objects.update(key_used_at=rows[0].created_at)
    calls = [
        AckCall(
            proven=[acks.ProvenAck(acks.Ack(message_id=str(row.message_id)), row.device_id)],
            address="127.0.0.1",
            key=(row.device_id, "key"),
        )
        for row in rows
    ]

    def statements(some: Sequence[AckCall]) -> int:
        with CaptureQueriesContext(connection) as asked:
            ack_groups.commit_group(some)
        return len(asked)

    setwise.find_by_key(True)  # said once for a connection
    assert statements(calls[:1]) == statements(calls[1:])
    assert set(PushNotificationLog.objects.values_list("status", flat=True)) == {"delivered"}
