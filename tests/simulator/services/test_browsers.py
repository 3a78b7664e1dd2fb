"""The browsers' port: what a browser is told, and that nothing is lost while it is away."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from simulator.services import PushServices, running
from tests.delivery.providers.browser import Browser, unbase64url
from tests.simulator.services.clients import Reply
from tests.simulator.services.test_web_push import Sender

WAIT_S = 5.0


@pytest.fixture
def services(home: Path) -> Iterator[PushServices]:
    with running(PushServices(home=home)) as services:
        yield services


@pytest.fixture
def sender(services: PushServices) -> Iterator[Sender]:
    each = Sender(services.web_push)
    with each.https:
        yield each


class Firefox:
    """The browser's end of the wire, with keys of its own."""

    def __init__(self, services: PushServices, uaid: str = "") -> None:
        self.keys = Browser()
        self._socket: ClientConnection = connect(
            services.browsers.url, subprotocols=[Subprotocol("push-notification")], proxy=None
        )
        self.uaid = self.ask("hello", use_webpush=True, **({"uaid": uaid} if uaid else {}))["uaid"]

    def ask(self, kind: str, **more: Any) -> dict[str, Any]:
        self.tell(kind, **more)
        return self.hear()

    def tell(self, kind: str, **more: Any) -> None:
        self._socket.send(json.dumps({"messageType": kind, **more}))

    def hear(self) -> dict[str, Any]:
        return dict(json.loads(self._socket.recv(WAIT_S)))

    def subscribe(self, sender: Sender) -> None:
        """From now on the sender sends here."""
        channel = str(uuid4())
        endpoint = self.ask("register", channelID=channel, key=sender.public_key)["pushEndpoint"]
        sender.subscription = self.keys.subscription(endpoint)

    def say(self, text: str) -> None:
        self._socket.send(text)

    def leave(self) -> None:
        self._socket.close()


def send(sender: Sender, text: str, **headers: str) -> Reply:
    return sender.send(sender.encrypted(json.dumps({"message_id": text}).encode()), sender.headers(**headers))


def read(firefox: Firefox, notification: dict[str, Any]) -> Any:
    return firefox.keys.read(unbase64url(notification["data"]))["message_id"]


def test_hands_over_what_only_the_browser_can_open(services: PushServices, sender: Sender) -> None:
    firefox = Firefox(services)
    firefox.subscribe(sender)

    reply = send(sender, "m-1")
    heard = firefox.hear()

    assert reply.status == 201
    assert (heard["messageType"], heard["headers"], read(firefox, heard)) == (
        "notification",
        {"encoding": "aes128gcm"},
        "m-1",
    )
    assert services.web_push.accepted()[0].payload.keys() == {"encrypted"}


def test_takes_only_the_key_that_the_browser_subscribed_with(services: PushServices, sender: Sender) -> None:
    firefox = Firefox(services)
    firefox.subscribe(sender)

    stranger = Sender(services.web_push)
    stranger.subscription = sender.subscription
    with stranger.https:
        reply = send(stranger, "m-1")

    assert reply.status == 403


def test_keeps_what_comes_while_the_browser_is_away(services: PushServices, sender: Sender) -> None:
    firefox = Firefox(services)
    firefox.subscribe(sender)
    firefox.leave()

    send(sender, "m-1")
    again = Firefox(services, firefox.uaid)

    assert again.uaid == firefox.uaid
    assert read(firefox, again.hear()) == "m-1"


def test_sends_again_what_was_not_acked(services: PushServices, sender: Sender) -> None:
    firefox = Firefox(services)
    firefox.subscribe(sender)
    for text in ("m-1", "m-2"):
        send(sender, text)
    first, second = firefox.hear(), firefox.hear()

    firefox.tell("ack", updates=[{"channelID": first["channelID"], "version": first["version"], "code": 100}])
    firefox.leave()
    heard = Firefox(services, firefox.uaid).hear()

    assert heard["version"] == second["version"]


def test_a_channel_that_was_given_up_is_gone(services: PushServices, sender: Sender) -> None:
    firefox = Firefox(services)
    channel = str(uuid4())
    endpoint = firefox.ask("register", channelID=channel, key="")["pushEndpoint"]
    sender.subscription = firefox.keys.subscription(endpoint)

    answer = firefox.ask("unregister", channelID=channel)

    assert answer["status"] == 200
    assert send(sender, "m-1").status == 410


def test_a_browser_that_was_forgotten_gets_another_id(services: PushServices, sender: Sender) -> None:
    firefox = Firefox(services)
    firefox.subscribe(sender)

    asyncio.run_coroutine_threadsafe(services.browsers.forget(), services.browsers.loop).result(WAIT_S)
    again = Firefox(services, firefox.uaid)

    assert again.uaid != firefox.uaid
    assert send(sender, "m-1").status == 410


def test_answers_a_ping(services: PushServices) -> None:
    firefox = Firefox(services)

    firefox.say("{}")

    assert firefox.hear() == {}


@pytest.mark.parametrize("text", ["", "[]", '{"messageType": "register"}', '{"messageType": []}'])
def test_hangs_up_on_what_speaks_another_protocol(services: PushServices, text: str) -> None:
    firefox = Firefox(services)

    firefox.say(text)

    with pytest.raises(ConnectionClosed):
        firefox.hear()
