"""The product's own senders on the emulated push services, inside the test's process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from django.test import override_settings

from delivery import clocks, credentials, event_loop, gate
from delivery.models import Channel, Device, Job, PushNotificationLog
from delivery.models.channel import address_hash
from delivery.models.device import Lifecycle
from delivery.models.keys import key_hash, new_message_id
from delivery.models.push_log_rows import NewRow
from simulator.services.service import EmulatedService
from simulator.services.tls import key_pem
from tests.delivery.rows import a_job


def settings_of(service: EmulatedService) -> dict[str, Any]:
    """One credential's settings for this service."""
    described = {"url": service.url, "ca_file": str(service.ca_file), **service.describe()}
    match service.name:
        case "wns":
            secrets = json.loads(Path(described["credentials_file"]).read_text())
            return {
                **described,
                **secrets,
                "token_url": described["entra_token_url"],
                "allow_origins": described["url"],
            }
        case "web_push":
            key = key_pem(ec.generate_private_key(ec.SECP256R1())).decode()
            return {
                **described,
                "private_key": key,
                "subject": "mailto:ops@example.org",
                "allow_origins": described["url"],
            }
        case _:
            return described


@contextmanager
def configured(providers: dict[str, dict[str, dict[str, Any]]], credentials_file: Path | None = None) -> Iterator[None]:
    """These credentials and no others; nothing is remembered of the ones before, nor of these afterwards."""
    with override_settings(PROVIDERS=providers, CREDENTIALS_FILE=str(credentials_file or "")):
        forget()
        try:
            yield
        finally:
            forget()


def forget() -> None:
    """What a new process does not know."""
    event_loop.close()
    for memory in (gate._windows, gate._seen, gate._sent_rates, credentials._verdicts, credentials._was_good):
        memory.clear()


def a_fleet(service: EmulatedService, count: int, *, credential: str = "default", **fields: Any) -> list[Channel]:
    """Devices, each with a key and one channel of this service. `fields` are the channels'."""
    fields.setdefault("registered_at", clocks.db_now())
    prefix = f"{service.name}-{credential}-{Channel.objects.count()}"
    names = [f"{prefix}-{number}" for number in range(count)]
    devices = Device.objects.bulk_create(
        [Device(device_id=name, name=name, lifecycle=Lifecycle.ACTIVE, key_hash=key_hash("key")) for name in names]
    )
    addresses = [service.new_address() for _ in devices]
    return Channel.objects.bulk_create(
        [
            Channel(
                device=device,
                provider=service.name,
                credential=credential,
                address=address,
                address_hash=address_hash(address),
                **fields,
            )
            for device, address in zip(devices, addresses, strict=True)
        ]
    )


def order(channels: list[Channel], **fields: Any) -> Job:
    """A message for each of these channels, as the fan-out writes them; no check of the order stands before it."""
    job = a_job(status="running", fanned_out_at=channels[0].registered_at, ttl_s=3_600, **fields)
    PushNotificationLog.objects.insert_rows(
        [
            NewRow(new_message_id(), each.device.device_id, None, each.provider, each.credential, each.pk)
            for each in channels
        ],
        job_id=job.job_id,
        priority=job.priority,
        created_at=job.created_at,
        expires_at=job.created_at + timedelta(seconds=job.ttl_s),
    )
    return job
