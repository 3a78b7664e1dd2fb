"""`manage.py check` names what a half-configured provider lacks, and what production must not go without."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks

from delivery import credential_expiry, credentials


@checks.register("delivery")
def credentials_file_can_be_read(**_: Any) -> list[checks.CheckMessage]:
    """A running process would go on with what it read before; one that starts now would have nothing."""
    why = credentials.file_error()
    hint = "docs/credentials.md"
    return [checks.Error(f"CREDENTIALS_FILE cannot be used: {why}", hint=hint, id="delivery.E002")] if why else []


@checks.register("delivery")
def providers_are_complete(**_: Any) -> list[checks.CheckMessage]:
    """A credential of which something is set must be complete."""
    return [
        checks.Error(
            f"The credential '{name}' of {provider} cannot be used: {why}",
            hint=f"Complete it, or remove all of it: docs/providers/{provider}.md",
            id="delivery.E001",
        )
        for provider, named in credentials.configured().items()
        for name, config in named.items()
        if (why := credentials.what_is_missing(provider, name, config))
    ]


@checks.register("delivery")
def credentials_last(**_: Any) -> list[checks.CheckMessage]:
    """One that ends within 30 days, as far as its files say."""
    now = datetime.now(UTC)
    return [
        checks.Warning(ending.text(now), hint="docs/credentials.md", id="delivery.W005")
        for ending in credential_expiry.ending_soon(now)
    ]


@checks.register("delivery", deploy=True)
def production_is_closed(**_: Any) -> Sequence[checks.CheckMessage]:
    """Servers that others could write to, and simulated success, have no place in production."""
    found: list[checks.CheckMessage] = []
    broker = urlsplit(settings.CELERY_BROKER_URL)
    if broker.hostname and not broker.password:
        found.append(checks.Warning("The broker has no password", hint="CELERY_BROKER_URL", id="delivery.W001"))
    mqtt = urlsplit(settings.MQTT_URL)
    if mqtt.hostname and not mqtt.password:
        found.append(
            checks.Warning(
                "The MQTT broker has no password, so it can have no ACL per device", hint="MQTT_URL", id="delivery.W002"
            )
        )
    if "simulation" in settings.PROVIDERS:
        found.append(
            checks.Warning("Simulated deliveries are allowed", hint="Unset ALLOW_SIMULATION", id="delivery.W003")
        )
    if not settings.CACHE_URL:
        found.append(
            checks.Warning(
                "Rate limits are counted by each process for itself: together they allow a multiple",
                hint="CACHE_URL",
                id="delivery.W006",
            )
        )
    if settings.ACK_KEYS == [settings.SECRET_KEY]:
        found.append(
            checks.Warning(
                "ACK_KEYS is not set: acks are signed with SECRET_KEY, which cannot be changed without losing acks",
                hint="ACK_KEYS",
                id="delivery.W004",
            )
        )
    return found
