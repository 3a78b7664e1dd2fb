"""What goes wrong at the devices' end, told while they run."""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simulator.fleet.device import Device, Identity
from simulator.fleet.network import NETWORKS
from simulator.fleet.troubles import Troubles
from tests.servers import Mqtt
from tests.simulator.fleet.conftest import until
from tests.simulator.fleet.stand_in import StandIn
from tests.simulator.fleet.test_fleet import LISTENING, fleet, push, var

__all__ = ["var"]


def device(site_id: str = "site-001") -> Device:
    return Device(Identity(device_id="till-1", api_key="k", site_id=site_id, name="Till", channel="fcm"))


def told(folder: Path, **script: Any) -> Path:
    """The file that says so; written whole, as a reader may come at any moment."""
    file = folder / "troubles.json"
    (folder / "new").write_text(json.dumps(script))
    os.replace(folder / "new", file)
    return file


def test_nothing_goes_wrong_without_a_file() -> None:
    calm = Troubles()

    assert calm.connected(device())
    assert calm.hears(device(), "fcm")
    assert calm.refusal(device()) is None
    assert abs(calm.time_of(device()) - datetime.now(UTC)) < timedelta(seconds=1)


def test_a_cut_site_hears_nothing(tmp_path: Path) -> None:
    troubles = Troubles(told(tmp_path, cut=["site-001"]))

    assert not troubles.connected(device())
    assert not troubles.hears(device(), "mqtt")
    assert troubles.connected(device("site-002"))


def test_a_blocked_channel_is_blocked_at_that_site_alone(tmp_path: Path) -> None:
    troubles = Troubles(told(tmp_path, blocked=[["site-001", "fcm"]]))

    heard = [troubles.hears(device(site), channel) for site in ("site-001", "site-002") for channel in ("fcm", "mqtt")]

    assert heard == [False, True, True, True]
    assert troubles.connected(device())


def test_a_clock_is_off_and_drifts(tmp_path: Path) -> None:
    troubles = Troubles(told(tmp_path, clocks={"till-1": {"ahead_s": -180, "drift_ppm": 1e6}}))
    before = troubles.time_of(device()) - datetime.now(UTC)

    assert timedelta(seconds=-180) <= before < timedelta(seconds=-179)


def test_a_slow_site_takes_its_time(tmp_path: Path) -> None:
    troubles = Troubles(told(tmp_path, slow={"site-001": {"median_ms": 9_000, "sigma": 0.0}}))

    assert troubles.delay_s(device(), NETWORKS["ideal"], Random(1)) == pytest.approx(9.0)


def test_what_was_told_last_counts(tmp_path: Path) -> None:
    troubles = Troubles(told(tmp_path, cut=["site-001"]))
    told(tmp_path)

    assert troubles.look()
    assert troubles.connected(device())
    assert not troubles.look()


def test_a_half_written_file_is_read_later(tmp_path: Path) -> None:
    file = told(tmp_path, cut=["site-001"])
    troubles = Troubles(file)
    file.write_text('{"cut": [')

    assert not troubles.look()
    assert not troubles.connected(device())


def test_messages_wait_at_the_broker_while_a_site_is_cut_off(var: Path, mqtt_broker: Mqtt) -> None:
    file = told(var)

    async def run() -> list[dict[str, Any]]:
        async with StandIn() as stand_in:
            with fleet(var, stand_in, mqtt_broker, "--mqtt-acks", "0", "--troubles", str(file)) as process:
                await until(lambda: f"({LISTENING} connected)" in process.output())
                listening = sorted(each for each, provider in stand_in.channels.items() if provider == "mqtt")
                away = [each for each in listening if stand_in.devices[each]["site_id"] == "site-001"]
                told(var, cut=["site-001"], denied={next(each for each in listening if each not in away): "denied"})
                await until(lambda: f"({LISTENING - len(away)} connected)" in process.output())
                await push(mqtt_broker, listening, "m-1")
                await until(lambda: len(stand_in.acks) == LISTENING - len(away))
                told(var)
                await until(lambda: len(stand_in.acks) == LISTENING)
                return [ack for acks in stand_in.acks.values() for ack in acks]

    acks = asyncio.run(run())

    refused = [ack for ack in acks if ack["status"] == "failed"]
    assert [ack["error_code"] for ack in refused] == ["denied"]
