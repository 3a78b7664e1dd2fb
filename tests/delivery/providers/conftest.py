"""The contract suite runs over every rig named here. A new provider is one fixture and its name in `RIGS`."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from delivery.providers import get_push_provider
from delivery.providers.apns import Apns
from delivery.providers.fcm import Fcm
from delivery.providers.web_push import WebPush
from delivery.providers.wns import Wns
from tests import servers
from tests.delivery.mqtt import Amqtt, Listener, wait_until
from tests.delivery.providers import apple, google
from tests.delivery.providers.ack_server import AckServer
from tests.delivery.providers.browser import Browser, base64url
from tests.delivery.providers.local_servers import Http1Server, Http2Server, Received, Reply, authority
from tests.delivery.providers.rig import SECRET_ADDRESS, Rig
from tests.delivery.providers.scripted_broker import ScriptedBroker

RIGS = ["mqtt_rig", "amqtt_rig", "simulation_rig", "fcm_rig", "apns_rig", "wns_rig", "web_push_rig"]


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest) -> Rig:
    rig: Rig = request.getfixturevalue(request.param)
    return rig


@pytest.fixture(scope="session")
def refusing_port() -> Iterator[int]:
    """A port that refuses connections: bound, so that nobody else gets it, but not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture(scope="session")
def amqtt_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amqtt]:
    with Amqtt(tmp_path_factory.mktemp("amqtt")) as server:
        yield server


@pytest.fixture
def mqtt_rig(mqtt_broker: servers.Mqtt, refusing_port: int) -> Iterator[Rig]:
    yield from _mqtt_rig(mqtt_broker.url, refusing_port)


@pytest.fixture
def amqtt_rig(amqtt_broker: Amqtt, refusing_port: int) -> Iterator[Rig]:
    yield from _mqtt_rig(amqtt_broker.url, refusing_port)


def _mqtt_rig(url: str, refusing_port: int) -> Iterator[Rig]:
    with Listener(url) as devices, ScriptedBroker(puback=lambda _: None) as silent:
        yield Rig(
            healthy=lambda: get_push_provider("mqtt", {"url": url}),
            unreachable=lambda: get_push_provider("mqtt", {"url": f"mqtt://127.0.0.1:{refusing_port}"}),
            silent=lambda deadline_s: get_push_provider("mqtt", {"url": silent.url, "deadline_s": deadline_s}),
            seen=devices.message_ids,
        )


@pytest.fixture
def simulation_rig() -> Iterator[Rig]:
    world = {"profile": "ideal", "seed": 7, "median_ms": 5}
    with AckServer() as server:

        def seen(count: int) -> list[str]:
            wait_until(lambda: len(server.acks) >= count)
            time.sleep(0.1)
            return [ack["message_id"] for ack in server.acks]

        yield Rig(
            healthy=lambda: get_push_provider("simulation", world),
            unreachable=lambda: get_push_provider(
                "simulation", {**world, "success_rate": 0, "error_mix": {"retry": 1}}
            ),
            silent=lambda deadline_s: get_push_provider(
                "simulation", {**world, "answer_median_ms": 3_600_000, "deadline_s": deadline_s}
            ),
            seen=seen,
            ack_url=server.url,
        )


@pytest.fixture
def fcm_rig(tmp_path: Path, refusing_port: int) -> Iterator[Rig]:
    nobody = f"https://127.0.0.1:{refusing_port}"
    with google.Google() as healthy, google.Google(lambda _: Reply(after_s=60)) as silent:
        config = {"service_account_file": google.account_file(tmp_path, healthy), "ca_file": authority().ca_file}

        def seen(count: int) -> list[str]:
            wait_until(lambda: len(healthy.messages) >= count)
            return [json.loads(request.body)["message"]["data"]["message_id"] for request in healthy.messages]

        yield Rig(
            healthy=lambda: Fcm.from_config({**config, "url": healthy.url}),
            unreachable=lambda: Fcm.from_config({**config, "url": nobody}),
            silent=lambda deadline_s: Fcm.from_config({**config, "url": silent.url, "deadline_s": deadline_s}),
            seen=seen,
        )


@pytest.fixture
def apns_rig(tmp_path: Path, refusing_port: int) -> Iterator[Rig]:
    nobody = f"https://127.0.0.1:{refusing_port}"
    with Http2Server(apple.like_apple, strict=True) as healthy, Http2Server(lambda _: Reply(after_s=60)) as silent:
        config = apple.config(tmp_path)

        def seen(count: int) -> list[str]:
            wait_until(lambda: len(healthy.received) >= count)
            return [request.headers["apns-id"] for request in healthy.received]

        yield Rig(
            healthy=lambda: Apns.from_config({**config, "url": healthy.url}),
            unreachable=lambda: Apns.from_config({**config, "url": nobody}),
            silent=lambda deadline_s: Apns.from_config({**config, "url": silent.url, "deadline_s": deadline_s}),
            seen=seen,
        )


@pytest.fixture
def wns_rig(refusing_port: int) -> Iterator[Rig]:
    with (
        Http1Server(_like_microsoft, tls=True) as healthy,
        Http1Server(lambda _: Reply(after_s=60), tls=True) as silent,
    ):
        nobody = f"https://127.0.0.1:{refusing_port}"
        config = {
            "client_id": "app",
            "client_secret": "secret",
            "tenant_id": "contoso.example",
            "token_url": f"{healthy.url}/token",
            "allow_origins": [healthy.url, silent.url, nobody],
            "ca_file": authority().ca_file,
        }

        def seen(count: int) -> list[str]:
            wait_until(lambda: len(_notifications(healthy)) >= count)
            return [json.loads(request.body)["message_id"] for request in _notifications(healthy)]

        yield Rig(
            healthy=lambda: Wns.from_config(config),
            unreachable=lambda: Wns.from_config(config),
            silent=lambda deadline_s: Wns.from_config({**config, "deadline_s": deadline_s}),
            seen=seen,
            address=_channel(healthy.url),
            unreachable_address=_channel(nobody),
            silent_address=_channel(silent.url),
        )


def _channel(origin: str) -> str:
    return f"{origin}/w/?token={SECRET_ADDRESS}"


def _like_microsoft(request: Received) -> Reply:
    if request.path == "/token":
        return Reply(body=b'{"token_type": "Bearer", "expires_in": 86399, "access_token": "token-1"}')
    return Reply(headers={"X-WNS-Status": "received"})


def _notifications(server: Http1Server) -> list[Received]:
    return [request for request in server.received if request.path != "/token"]


@pytest.fixture
def web_push_rig(refusing_port: int) -> Iterator[Rig]:
    browser = Browser()
    vapid_key = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    created, never = Reply(201, headers={"Location": "/m/abc123"}), Reply(after_s=60)
    with Http1Server(lambda _: created, tls=True) as healthy, Http1Server(lambda _: never, tls=True) as silent:
        nobody = f"https://127.0.0.1:{refusing_port}"
        config = {
            "private_key": base64url(vapid_key.to_bytes(32)),
            "subject": "mailto:ops@example.com",
            "allow_origins": [healthy.url, silent.url, nobody],
            "ca_file": authority().ca_file,
        }

        def subscription(origin: str) -> str:
            return browser.address(f"{origin}/wpush/v2/{SECRET_ADDRESS}")

        def seen(count: int) -> list[str]:
            wait_until(lambda: len(healthy.received) >= count)
            return [browser.read(request.body)["message_id"] for request in healthy.received]

        yield Rig(
            healthy=lambda: WebPush.from_config(config),
            unreachable=lambda: WebPush.from_config(config),
            silent=lambda deadline_s: WebPush.from_config({**config, "deadline_s": deadline_s}),
            seen=seen,
            address=subscription(healthy.url),
            unreachable_address=subscription(nobody),
            silent_address=subscription(silent.url),
        )
