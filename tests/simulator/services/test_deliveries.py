"""Who gets what a service took, and what waits for a device that is away."""

import time

import pytest

from simulator.services import Accepted, EmulatedApns, EmulatedFcm, EmulatedWebPush, EmulatedWns
from simulator.services.deliveries import Deliveries, Keeps


def message(number: int, *, key: str = "", ttl_s: float = 60, address: str = "a") -> Accepted:
    return Accepted(
        service="fcm",
        address=address,
        message_id=f"m-{number}",
        provider_message_id=f"p-{number}",
        payload={},
        ttl_s=ttl_s,
        collapse_key=key,
    )


def received_later(deliveries: Deliveries, address: str = "a") -> list[str]:
    """What a device gets that comes online now."""
    got: list[Accepted] = []
    deliveries.listen([address], got.append)
    return [each.message_id for each in got]


def test_hands_a_message_to_those_who_listen_for_its_address() -> None:
    deliveries = Deliveries(Keeps(plain=10))
    mine: list[Accepted] = []
    others: list[Accepted] = []
    deliveries.listen(["a"], mine.append)
    deliveries.listen(["b"], others.append)

    deliveries.accept(message(1))

    assert [each.message_id for each in mine] == ["m-1"]
    assert others == []
    assert deliveries.summary()["waiting"] == 0


def test_counts_how_often_a_message_came() -> None:
    deliveries = Deliveries(Keeps(plain=10))

    for number in (1, 2, 1):
        deliveries.accept(message(number))

    assert deliveries.counts == {"m-1": 2, "m-2": 1}
    assert (deliveries.summary()["accepted"], deliveries.summary()["repeated"]) == (3, 1)


def test_what_waited_comes_in_order_and_once() -> None:
    deliveries = Deliveries(Keeps(plain=10))
    for number in (1, 2, 3):
        deliveries.accept(message(number))

    first, second = received_later(deliveries), received_later(deliveries)

    assert (first, second) == (["m-1", "m-2", "m-3"], [])


def test_a_device_that_left_is_away() -> None:
    deliveries = Deliveries(Keeps(plain=10))
    got: list[Accepted] = []
    deliveries.listen(["a"], got.append)
    deliveries.leave(["a"], got.append)

    deliveries.accept(message(1))

    assert got == []
    assert not deliveries.online("a")
    assert received_later(deliveries) == ["m-1"]


def test_nothing_outlives_its_ttl() -> None:
    deliveries = Deliveries(Keeps(plain=10))
    deliveries.accept(message(1, ttl_s=0.05))
    deliveries.accept(message(2, ttl_s=0))
    deliveries.accept(message(3))

    time.sleep(0.06)

    assert received_later(deliveries) == ["m-3"]
    assert deliveries.summary()["dropped"] == 2


def test_a_message_replaces_the_one_with_its_key() -> None:
    deliveries = Deliveries(Keeps(plain=10, collapsed=4))
    for number, key in ((1, "menu"), (2, ""), (3, "menu")):
        deliveries.accept(message(number, key=key))

    assert received_later(deliveries) == ["m-2", "m-3"]


@pytest.mark.parametrize(
    ("keeps", "expected"),
    [
        (EmulatedFcm.keeps, []),
        (EmulatedApns.keeps, ["m-100"]),
        (EmulatedWebPush.keeps, [f"m-{number}" for number in range(1, 101)]),
    ],
    ids=["fcm drops all", "apns keeps the last", "web push drops the first"],
)
def test_a_hundred_and_one_plain_messages(keeps: Keeps, expected: list[str]) -> None:
    deliveries = Deliveries(keeps)
    for number in range(101):
        deliveries.accept(message(number))

    assert received_later(deliveries) == expected


@pytest.mark.parametrize(
    ("keeps", "expected"),
    [(EmulatedFcm.keeps, 4), (EmulatedApns.keeps, 1), (EmulatedWns.keeps, 4), (EmulatedWebPush.keeps, 6)],
)
def test_six_messages_with_keys_of_their_own(keeps: Keeps, expected: int) -> None:
    deliveries = Deliveries(keeps)
    for number in range(6):
        deliveries.accept(message(number, key=f"key-{number}"))

    assert len(received_later(deliveries)) == expected


def test_a_retired_address_loses_what_waited() -> None:
    deliveries = Deliveries(Keeps(plain=10))
    deliveries.accept(message(1))

    deliveries.forget("a")

    assert received_later(deliveries) == []
