"""The product's own providers, sending to simulated devices with the credentials that the services wrote for them."""

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from delivery.outcomes import Outcome
from delivery.priority import Priority
from delivery.providers import get_push_provider
from delivery.providers.base import Message
from simulator.services import PushServices
from simulator.services.configured import write_credentials


def credentials(services: PushServices) -> dict[str, dict[str, Any]]:
    """The tables of the CREDENTIALS_FILE, by provider."""
    file = services.home / "credentials.toml"
    write_credentials(file, services.describe(), services.home)
    return {provider: named["default"] for provider, named in tomllib.loads(file.read_text(encoding="utf-8")).items()}


async def send(config: Mapping[str, Any], provider: str, messages: list[Message]) -> list[Outcome]:
    sender = get_push_provider(provider, config)
    await sender.start()
    try:
        return list(await sender.send(messages))
    finally:
        await sender.aclose()


def message(address: str, message_id: str, *, platforms: Mapping[str, Any] | None = None) -> Message:
    return Message(
        message_id=message_id,
        device_id="till-1",
        address=address,
        content={"title": "Hello", "body": "A new menu", "data": {}, "platforms": platforms or {}},
        priority=Priority.HIGH,
        sent_at=datetime.now(UTC),
        ttl_s=300,
        ack_token="token",
        ack_url="http://127.0.0.1/api/v1/push/ack",
    )
