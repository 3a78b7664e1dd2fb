"""The product's own providers send through the emulated services, configured with what the services describe."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from delivery.outcomes import Outcome, OutcomeKind
from delivery.priority import Priority
from delivery.providers.apns import Apns
from delivery.providers.base import Message, Provider
from delivery.providers.fcm import Fcm
from delivery.providers.web_push import WebPush
from delivery.providers.wns import Wns
from simulator.services import PushServices, running
from simulator.services.tls import key_pem

NAMES = ["fcm", "apns", "wns", "web_push"]
MESSAGE = Message(
    message_id="019a0b1c-7d2e-7f00-8000-000000000000",
    device_id="till-1",
    address="",
    content={"title": "Hello", "body": "A new menu", "data": {"version": "2.1"}},
    priority=Priority.HIGH,
    sent_at=datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
    ttl_s=300,
    ack_token="t",
    ack_url="",
    collapse_key="",
)


@pytest.fixture
def services(home: Path) -> Iterator[PushServices]:
    with running(PushServices(home=home)) as each:
        yield each


def provider(services: PushServices, name: str) -> Provider:
    described = services.describe()[name]
    match name:
        case "fcm":
            return Fcm.from_config(described)
        case "apns":
            return Apns.from_config(described)
        case "wns":
            secrets = json.loads(Path(described["credentials_file"]).read_text())
            door = {"token_url": described["entra_token_url"], "allow_origins": described["url"]}
            return Wns.from_config({**described, **secrets, **door})
        case _:
            key = key_pem(ec.generate_private_key(ec.SECP256R1())).decode()
            vapid = {"private_key": key, "subject": "mailto:ops@example.org", "allow_origins": described["url"]}
            return WebPush.from_config({**described, **vapid})


def messages(services: PushServices, name: str, count: int) -> list[Message]:
    make = services.services[name].new_address
    return [
        replace(MESSAGE, message_id=f"{MESSAGE.message_id[:-6]}{number:06d}", address=make()) for number in range(count)
    ]


def send(sender: Provider, batch: list[Message], tries: int = 1) -> list[Outcome]:
    """The last outcome of each; what is to be tried again goes out again under the same id, up to `tries` times."""

    async def life() -> list[Outcome]:
        outcomes: dict[str, Outcome] = {}
        due = batch
        await sender.start()
        for _ in range(tries):
            outcomes |= zip((each.message_id for each in due), await sender.send(due), strict=True)
            due = [each for each in due if outcomes[each.message_id].kind is OutcomeKind.RETRY]
        await sender.aclose()
        return list(outcomes.values())

    return asyncio.run(life())


@pytest.mark.parametrize("name", NAMES)
def test_a_message_is_accepted_under_its_own_id(services: PushServices, name: str) -> None:
    batch = messages(services, name, 20)

    outcomes = send(provider(services, name), batch)

    assert [(each.kind, each.code) for each in outcomes if each.kind is not OutcomeKind.ACCEPTED] == []
    assert services.services[name].deliveries.counts == {each.message_id: 1 for each in batch}


@pytest.mark.parametrize("name", NAMES)
def test_an_address_that_is_gone_is_gone(services: PushServices, name: str) -> None:
    [message] = messages(services, name, 1)
    services.services[name].retire([message.address])

    [outcome] = send(provider(services, name), [message])

    assert outcome.kind is OutcomeKind.ADDRESS_GONE


@pytest.mark.parametrize("name", NAMES)
def test_a_service_that_asks_to_wait_is_heard(services: PushServices, name: str) -> None:
    services.services[name].fails_with(503, retry_after="30")

    [outcome] = send(provider(services, name), messages(services, name, 1))

    assert outcome.kind in (OutcomeKind.RETRY, OutcomeKind.THROTTLED)
    assert outcome.retry_after_s == 30


def test_apns_loses_nothing_to_connections_that_end_again_and_again(services: PushServices) -> None:
    services.apns.does("goaway", limit=100)
    batch = messages(services, "apns", 1000)

    outcomes = send(provider(services, "apns"), batch, tries=5)

    assert {each.kind for each in outcomes} == {OutcomeKind.ACCEPTED}
    assert services.apns.deliveries.counts.keys() == {each.message_id for each in batch}
    assert services.apns.summary()["connections_opened"] >= 10
