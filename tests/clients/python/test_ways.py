"""Both ways of push: the platform's service where it gives an address, MQTT where it does not, and back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from homepot_agent import Address
from simulator.services import Accepted
from tests.clients.python.hosts import Host
from tests.clients.python.world import World
from tests.journey.api import wait_until

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]


class Platform:
    """Google's services on a device, as its program sees them: there or not, and what they bring."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.token = world.fcm.new_address()
        self.there = False

    def address(self) -> Address | None:
        if not self.there:
            raise RuntimeError("no Google services")
        return Address("fcm", self.token)

    def bring_to(self, take: Callable[[object, str], bool]) -> None:
        def bring(message: Accepted) -> None:
            take(message.payload["data"], "fcm")

        self._world.fcm.deliveries.listen([self.token], bring)


def comes_by(world: World, host: Host, provider: str) -> bool:
    """Whether messages come by this provider now; one that was ordered while the device looked around, by its inbox."""
    ways = [provider_of(world, host, f"{provider} {number}, {len(host.pushes)}") for number in range(3)]
    return ways[-1] == provider and set(ways) <= {provider, "inbox"}


def provider_of(world: World, host: Host, title: str) -> str:
    """Push it, and wait for its ack; the provider that brought it."""
    message_id = world.push(host.device_id, title)
    wait_until(lambda: title in host.titles, title, 20, lambda: host.titles)
    delivered = len(host.titles)
    rows = world.wait_until_delivered(host.device_id, delivered)
    return str(next(row["provider"] for row in rows if str(row["message_id"]) == message_id))


def test_goes_over_to_the_push_service_when_there_is_one_and_back(world: World, tmp_path: Path) -> None:
    platform = Platform(world)

    with Host(world, tmp_path / "till", sources=[platform]) as host:
        platform.bring_to(host.agent.deliver)
        host.wait_until_woken("mqtt")
        by_mqtt = comes_by(world, host, "mqtt")
        platform.there = True
        host.agent.addresses_changed()
        host.wait_until_woken("fcm")
        by_fcm = comes_by(world, host, "fcm")
        platform.there = False
        host.agent.addresses_changed()
        host.wait_until_woken("mqtt")
        by_mqtt_again = comes_by(world, host, "mqtt")

    assert (by_mqtt, by_fcm, by_mqtt_again) == (True, True, True)


def test_goes_over_to_mqtt_when_the_push_service_accepts_and_brings_nothing(world: World, tmp_path: Path) -> None:
    platform = Platform(world)
    platform.there = True

    with Host(world, tmp_path / "till", sources=[platform], glance_s=0.3, missed_after_s=0.0) as host:
        host.wait_until_woken("fcm")
        for number in range(10):
            if host.agent.state.way == "fcm":  # the device's own look into the inbox may come before the push
                provider_of(world, host, f"into the void {number}")
        host.wait_until_woken("mqtt")

        assert provider_of(world, host, "by another way") != "fcm"


def test_a_push_service_that_never_answers_does_not_keep_the_device_from_mqtt(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging:
        def address(self) -> Address | None:
            while True:
                wait_until(lambda: False, "answer", 60)

    monkeypatch.setattr("homepot_agent.ways.ASK_S", 0.2)

    with Host(world, tmp_path / "till", sources=[Hanging()]) as host:
        host.wait_until_woken("mqtt")
        assert comes_by(world, host, "mqtt")


def test_registers_again_when_the_server_asks_and_shows_nobody_anything(world: World, tmp_path: Path) -> None:
    with Host(world, tmp_path / "till") as host:
        host.wait_until_woken("mqtt")
        asked_at = world.record.rows("SELECT clock_timestamp() AS at")[0]["at"]
        data = {"type": "register_again", "provider": "mqtt"}
        world.api.order({"devices": [host.device_id]}, title="", body="", data=data, data_only=True)
        again = (
            "SELECT c.registered_at FROM delivery_channel AS c JOIN delivery_device AS d ON d.id = c.device_id"
            " WHERE d.device_id = %s AND c.provider = 'mqtt' AND c.registered_at > %s"
        )
        wait_until(lambda: bool(world.record.rows(again, host.device_id, asked_at)), "a registration", 20)
        world.wait_until_delivered(host.device_id, 1)

        assert host.titles == []
