"""A queued command wakes its device: over a real MQTT broker, and by the push service of a device that has none."""

import json
from pathlib import Path

import pytest
from redis import Redis
from rest_framework.test import APIClient

from delivery import commands, sending
from delivery.commands import Wish
from delivery.models import Device, DeviceCommand, PushNotificationLog
from simulator.services import EmulatedFcm, running
from tests import servers
from tests.delivery.emulated import a_fleet, configured, settings_of
from tests.delivery.mqtt import Listener
from tests.delivery.rows import a_channel, a_device

pytestmark = pytest.mark.django_db(transaction=True)


def queued(device: Device) -> DeviceCommand:
    wish = Wish(command_type="restart_pos_app", payload={"force": True}, queued_by="person:test", reach=None)
    command = commands.queue(device, wish, idempotency_key=None)
    assert isinstance(command, DeviceCommand)
    return command


def as_device(device: Device) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_X_DEVICE_ID=device.device_id, HTTP_X_API_KEY="key")
    return client


def test_over_mqtt_the_wake_up_comes_where_agents_listen_for_commands(broker: Redis, mqtt_broker: servers.Mqtt) -> None:
    till = a_device("till-mqtt")
    a_channel(till, "mqtt", address="till-mqtt")

    with (
        configured({"mqtt": {"default": {"url": mqtt_broker.url}}}),
        Listener(mqtt_broker.url, "devices/till-mqtt/#") as heard,
    ):
        command = queued(till)
        sending.send_batch("mqtt")
        payloads = heard.payloads(2)

    message = PushNotificationLog.objects.get()
    assert [received.topic for received in heard.received] == [
        "devices/till-mqtt/commands",
        "devices/till-mqtt/notifications",
    ]
    assert payloads[0] == {"type": "wake", "message_id": str(message.message_id)}
    assert payloads[1]["data"] == {"type": "command", "command_id": command.command_id}
    assert "force" not in json.dumps(payloads)


def test_what_was_rung_for_is_fetched_taken_done_and_reported(broker: Redis, mqtt_broker: servers.Mqtt) -> None:
    till = a_device("till-mqtt")
    a_channel(till, "mqtt", address="till-mqtt")
    with configured({"mqtt": {"default": {"url": mqtt_broker.url}}}):
        queued(till)
        sending.send_batch("mqtt")
    agent = as_device(till)

    [waiting] = agent.get("/api/v1/devices/pending").json()
    address = f"/api/v1/devices/till-mqtt/commands/{waiting['command_id']}/ack"
    seen = [
        waiting["status"],
        agent.post(address).json()["status"],
        agent.put(f"/api/v1/devices/{waiting['command_id']}/status", {"status": "completed"}).json()["status"],
        agent.post(address).json()["status"],
    ]

    assert seen == ["pending", "sent", "completed", "completed"]
    assert agent.get("/api/v1/devices/pending").json() == []


def test_without_mqtt_the_devices_own_channel_rings_and_shows_nothing(broker: Redis, tmp_path: Path) -> None:
    with (
        running(EmulatedFcm(home=tmp_path)) as fcm,
        configured({"fcm": {"default": settings_of(fcm)}}),
    ):
        [channel] = a_fleet(fcm, 1)

        command = queued(channel.device)
        sending.send_batch("fcm")

        [delivered] = fcm.deliveries.recent
    assert PushNotificationLog.objects.get().status == "sent"
    assert "notification" not in delivered.payload
    assert json.loads(delivered.payload["data"]["data"])["command_id"] == command.command_id
