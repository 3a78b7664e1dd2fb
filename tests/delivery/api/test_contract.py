"""The calls of agents, service workers and messenger clients in the field: their exact requests, and of the answers
the exact status and keys. Those programs are not updated with this server: what fails here breaks them."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.contrib.auth.models import User
from pytest_django import Settings
from rest_framework.test import APIClient

from delivery import commands, jobs, reports
from delivery.models import Device, DeviceCommand, DeviceJob, PushNotificationLog, Site
from delivery.priority import Priority
from tests.delivery.api.conftest import BOOTSTRAP_KEY
from tests.delivery.api.routes import v1_routes

NOW = "2026-11-21T12:30:00Z"
COMMAND = {"command_id", "command_type", "payload", "status", "created_at"}
OWN_JOB = {"status": "", "message": "", "data": {"job_id", "action", "status", "priority", "created_at"}}
STORED = {"status", "message"}
SUBSCRIPTION = json.dumps(
    {
        "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/a",
        "keys": {
            "p256dh": "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM",
            "auth": "tBHItJI5svbpez7KI4CCXg",
        },
    }
)
FCM_TOKEN = "fcm-token-of-a-phone"


@dataclass(frozen=True, slots=True)
class World:
    """What the calls are about: one of each."""

    device: Device
    message: PushNotificationLog
    command: DeviceCommand
    taken: DeviceCommand
    own_job: DeviceJob


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as it is made in the field, and what it is answered with. `keys` is a tree of sets and dicts."""

    who: str
    method: str
    path: str
    body: Any
    status: int
    keys: Any

    def __str__(self) -> str:
        return f"{self.method} {self.path[:60]} by {self.who}"


METRICS = {
    "device_id": "till-1", "cpu_usage": 23.5, "memory_usage": 61.0, "disk_usage": 48.3, "network_latency_ms": 8.4,
    "uptime_seconds": 3600, "collection_interval_seconds": 5, "timestamp": NOW,
}  # fmt: skip
SAVED = {"status": "", "message": "", "data": {"device_id", "saved_count"}}
PERMISSIONS = {
    "root_access",
    "command_execution",
    "process_monitoring",
    "filesystem_access",
    "network_monitoring",
}
GRANTS = {
    "status": "",
    "data": {"device_id": "", "permissions": PERMISSIONS, "capabilities": PERMISSIONS, "message": ""},
}

AGENT = [
    Exchange(
        "anybody", "post", "devices/bootstrap-provision",
        {"site_id": "berlin-1", "bootstrap_key": BOOTSTRAP_KEY, "device_name": "Till 9", "device_type": "pos_terminal",
         "os_details": "Linux 6.1", "provisioning_source": "physical"},
        200, {"status": "", "message": "", "data": {"device_id", "api_key", "site_id", "created_at", "epoch_id"}},
    ),
    Exchange(
        "as_device", "post", "agent/device-dna",
        {"device_id": "till-1", "site_id": "berlin-1", "device_name": "Front desk", "device_type": "pos_terminal",
         "mac_address": "00:11:22:33:44:55", "os_details": "Android 14", "local_ip": "192.168.1.20",
         "wan_ip": "203.0.113.10", "firmware_version": "2.4.1", "peripherals": {"printer": "on"},
         "device_source": "physical", "device_token": FCM_TOKEN},
        200,
        {"status": "", "message": "", "data": {
            "device_id": "", "site_id": "", "lifecycle_state": "", "mac_address": "", "os_details": "", "local_ip": "",
            "wan_ip": "", "peripherals": {"printer"}, "created": ""}},
    ),
    Exchange(
        "as_device", "post", "agent/heartbeat",
        {"device_id": "till-1", "timestamp": NOW, "status": "ONLINE", "site_id": "berlin-1", "battery": 80},
        200, {"status": "", "message": "", "data": {"device_id", "last_heartbeat_at"}},
    ),
    Exchange(
        "as_device", "get", "agent/till-1/status", None, 200,
        {"status": "", "message": "", "data": {
            "device_id", "lifecycle_state", "connectivity_state", "health_state", "last_heartbeat_at"}},
    ),
    Exchange("as_device", "post", "agent/telemetry", METRICS, 200, SAVED),
    Exchange("as_device", "post", "agent/telemetry", [METRICS, METRICS], 200, SAVED),
    Exchange("as_device", "post", "agent/telemetry", [], 400, {"detail", "status_code"}),
    Exchange("as_device", "get", "devices/device/till-1/permissions", None, 200, GRANTS),
    Exchange(
        "as_device", "patch", "devices/device/till-1/permissions",
        {"permissions": {"root_access": False, "command_execution": True, "process_monitoring": True,
                         "filesystem_access": False, "network_monitoring": True}},
        200, GRANTS,
    ),
    Exchange(
        "as_device", "post", "agent/logs",
        {"device_id": "till-1", "level": "info", "message": "Heartbeat acknowledged", "category": "device",
         "timestamp": NOW, "context": {"attempt": 1}},
        200, STORED,
    ),
    Exchange(
        "as_device", "post", "agent/audit",
        {"device_id": "till-1", "event_type": "agent_started", "description": "The agent started", "timestamp": NOW,
         "metadata": {"version": "2.4"}},
        200, STORED,
    ),
    Exchange(
        "as_device", "post", "agent/config-history",
        {"device_id": "till-1", "action": "update_config", "parameter_name": "push_command:APPLY_CONFIG",
         "old_value": None, "new_value": {"version": "2.1.0"}, "success": True, "change_reason": "ordered",
         "timestamp": NOW, "performance_before": {"response_time_ms": 45}, "performance_after": None,
         "was_rolled_back": False, "rollback_reason": None, "rollback_success": None, "rolled_back_at": None},
        200, STORED,
    ),
    Exchange(
        "as_device", "post", "agent/alert",
        {"device_id": "till-1", "title": "High latency: 612 ms", "description": "Above 200 ms", "severity": "critical",
         "category": "network", "timestamp": NOW},
        200, STORED,
    ),
    Exchange(
        "as_device", "post", "agent/jobs",
        {"device_id": "till-1", "action": "Update POS payment config", "description": "Automated", "timestamp": NOW,
         "priority": "normal", "payload": {"version": "2.1"}},
        200, OWN_JOB,
    ),
    Exchange(
        "as_device", "put", "agent/jobs/{own_job}",
        {"device_id": "till-1", "status": "completed", "result": {"message": "done", "exit_code": 0},
         "error_message": None},
        200, OWN_JOB,
    ),
    Exchange("as_device", "get", "devices/pending", None, 200, [COMMAND]),
    Exchange("as_device", "post", "devices/till-1/commands/{command}/ack", None, 200, COMMAND),
    Exchange("as_device", "post", "devices/till-1/commands/{taken}/ack", None, 200, COMMAND),
    Exchange("as_device", "post", "devices/till-2/commands/{command}/ack", None, 403, {"detail", "status_code"}),
    Exchange("as_device", "post", "devices/till-1/commands/cmd-0/ack", None, 404, {"detail", "status_code"}),
    Exchange(
        "as_device", "put", "devices/{taken}/status",
        {"status": "completed", "executed_at": NOW, "result": {"exit_code": 0, "stdout": "ok", "stderr": ""}},
        200, COMMAND,
    ),
    Exchange("as_device", "post", "devices/{command}/status", {"status": "failed"}, 200, COMMAND),
    Exchange(
        "as_technician", "get", "devices/device/till-1/commands", None, 200,
        [{*COMMAND, "sent_at", "executed_at", "result"}],
    ),
    Exchange("anybody", "get", "devices/device/till-1/commands", None, 401, {"detail", "status_code"}),
    Exchange("as_technician", "post", "devices/till-1/commands", {"command_type": "ping"}, 201, COMMAND),
    Exchange(
        "as_technician", "post", "devices/till-1/commands", {"command_type": "shutdown"}, 403,
        {"detail": {"missing_permissions": [""]}, "status_code": ""},
    ),
    Exchange(
        "as_technician", "post", "devices/till-1/commands", {"command_type": "explode"}, 422,
        {"detail": {"command_type": [""]}, "status_code": ""},
    ),
    Exchange(
        "as_device", "get", "push/pending", None, 200,
        {"device_id": "", "pushes": [{
            "message_id": "", "provider": "", "sent_at": "", "status": "",
            "payload": {"message_id": "", "sent_at": "", "title": "", "body": "", "priority": "", "data": "",
                        "ack_token": "", "ack_url": ""}}]},
    ),
    Exchange(
        "as_device", "get", "devices/device/till-1/push-logs?limit=50", None, 200,
        [{"message_id", "provider", "status", "title", "body", "sent_at", "received_at", "latency_ms",
          "error_message"}],
    ),
    Exchange(
        "as_technician", "post", "agents/till-1/push",
        {"title": "Update", "body": "Please apply", "data": {"version": "2"}, "priority": "high", "icon": "x"},
        200,
        {"message": "", "device_id": "", "message_id": "",
         "response": {"status", "message", "device_id", "message_id", "timestamp"}},
    ),
    Exchange(
        "as_technician", "post", "sites/berlin-1/jobs",
        {"action": "Update POS payment config", "description": "Stripe", "config_url": "https://config.example/2.json",
         "config_version": "2.1.0", "priority": "high", "device_id": "till-1"},
        200, {"message", "job_id", "site_id", "action", "status"},
    ),
    Exchange(
        "as_technician", "post", "sites/berlin-1/jobs", {}, 200, {"message", "job_id", "site_id", "action", "status"}
    ),
]  # fmt: skip

WORKER = [
    Exchange("with_web_push", "get", "push/vapid-public-key", None, 200, {"publicKey", "platform", "timestamp"}),
    Exchange(
        "as_customer", "post", "push/subscribe",
        {"platform": "web_push", "device_token": SUBSCRIPTION, "device_info": {"userAgent": "Firefox"},
         "user_id": None},
        201, {"success", "message", "platform", "device_id", "timestamp"},
    ),
    Exchange(
        "as_customer", "post", "push/subscribe", {"platform": "web_push", "device_token": "{}"}, 400,
        {"detail", "status_code"},
    ),
    Exchange(
        "anybody", "post", "push/ack",
        {"message_id": "{message}", "device_id": "till-1", "status": "delivered", "received_at": NOW,
         "platform": "web_push"},
        200, {"status"},
    ),
    Exchange(
        "as_device", "post", "push/ack",
        {"message_id": "{message}", "device_id": "till-1", "received_at": NOW, "error_message": None, "extra": 1},
        200, {"status"},
    ),
    Exchange(
        "anybody", "post", "push/ack", {"message_id": "00000000-unknown", "device_id": "till-1"}, 200, {"status"}
    ),
]  # fmt: skip

MESSENGER = [
    Exchange(
        "as_customer", "post", "messenger/devices/register",
        {"device_token": FCM_TOKEN, "platform": "android", "provider": "fcm", "device_name": "My phone"},
        201, {"status", "device_token_id", "user_id", "platform"},
    ),
    Exchange(
        "with_phone", "post", "messenger/devices/register",
        {"device_token": FCM_TOKEN, "platform": "android", "provider": "fcm", "device_name": "My phone"},
        200, {"status", "device_token_id", "user_id", "platform"},
    ),
    Exchange(
        "with_phone", "get", "messenger/devices", None, 200,
        {"devices": [{"id", "platform", "provider", "device_name", "registered_at", "last_used_at"}]},
    ),
    Exchange("with_phone", "delete", f"messenger/devices/{FCM_TOKEN}", None, 200, {"success", "message"}),
    Exchange(
        "as_customer", "delete", f"messenger/devices/{quote(SUBSCRIPTION, safe='')}", None, 404, {"success", "message"}
    ),
]  # fmt: skip

EXCHANGES = [*AGENT, *WORKER, *MESSENGER]


@pytest.fixture
def with_phone(as_customer: APIClient) -> APIClient:
    as_customer.post("/api/v1/messenger/devices/register", {"device_token": FCM_TOKEN, "platform": "android"})
    return as_customer


@pytest.fixture
def with_web_push(anybody: APIClient, settings: Settings) -> APIClient:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    settings.PROVIDERS = {"web_push": {"default": {"private_key": pem, "subject": "mailto:ops@homepot.example"}}}
    return anybody


@pytest.fixture
def world(device: Device, technician: User, site: Site) -> World:
    order = jobs.Order(
        name="Hello",
        target=jobs.Target(devices=["till-1"]),
        payload={"title": "Hello", "body": "", "data": {}},
        ordered_by="person:tina",
    )
    jobs.accept_at_once(order, [device])
    wish = commands.Wish(command_type="ping", payload=None, queued_by="person:tina", reach=["berlin-1"])
    waiting, taken = (commands.queue(device, wish, idempotency_key=None) for _ in range(2))
    assert isinstance(waiting, DeviceCommand)
    assert isinstance(taken, DeviceCommand)
    commands.take(taken)
    return World(
        device=device,
        message=PushNotificationLog.objects.get(),
        command=waiting,
        taken=taken,
        own_job=reports.begin(device, reports.OwnJob("Clean up", "", Priority.NORMAL, None, None)),
    )


def filled(text: str, world: World) -> str:
    names = {
        "{message}": str(world.message.message_id),
        "{command}": world.command.command_id,
        "{taken}": world.taken.command_id,
        "{own_job}": world.own_job.job_id,
    }
    for name, value in names.items():
        text = text.replace(name, value)
    return text


def tree(value: Any) -> Any:
    """The keys of an answer: of an object its keys, of a list those of its first item; of a plain value nothing."""
    if isinstance(value, dict):
        return {key: tree(item) for key, item in value.items()} if value else ""
    if isinstance(value, list):
        return [tree(value[0])] if value else []
    return ""


def spelled_out(keys: Any) -> Any:
    """A set of keys as the tree that it stands for."""
    if isinstance(keys, set):
        return dict.fromkeys(keys, "")
    if isinstance(keys, dict):
        return {key: spelled_out(item) for key, item in keys.items()}
    return [spelled_out(item) for item in keys] if isinstance(keys, list) else keys


@pytest.mark.parametrize("exchange", EXCHANGES, ids=str)
def test_a_call_from_the_field_is_answered_as_it_always_was(
    exchange: Exchange, request: pytest.FixtureRequest, world: World
) -> None:
    client: APIClient = request.getfixturevalue(exchange.who)
    body = None if exchange.body is None else json.loads(filled(json.dumps(exchange.body), world))

    answer = getattr(client, exchange.method)(f"/api/v1/{filled(exchange.path, world)}", body)

    assert (answer.status_code, tree(answer.json())) == (exchange.status, spelled_out(exchange.keys))


OF_OUR_OWN = {
    "auth/token", "telemetry/flush", "sites", "devices", "devices/<device_id:device_id>/key", "jobs",
    "devices/<device_id:device_id>/channels/<str:provider>", "jobs/<str:job_id>", "jobs/<str:job_id>/pause",
    "jobs/<str:job_id>/resume", "jobs/<str:job_id>/cancel", "jobs/<str:job_id>/retry-failed", "push/send",
    "push/send-bulk", "push/ack/batch", "messages/<uuid:message_id>",
}  # fmt: skip
"""Addresses that no program in the field spoke before this server; they are ours to change."""


def test_every_address_of_the_field_is_in_the_contract() -> None:
    called = {exchange.path.partition("?")[0] for exchange in EXCHANGES}

    uncalled = {str(route.pattern) for route in v1_routes() if not any(route.pattern.match(path) for path in called)}

    assert uncalled == OF_OUR_OWN
