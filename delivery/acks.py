"""Step 6: the device has it.

An ack comes over HTTP or MQTT, alone or in batches, before or after our own `sent`, once or ten times: `record` is the
one way in, and what it was called with is committed when it returns.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from delivery import ack_tokens, clocks, crash_points
from delivery.models import Job, PushNotificationLog, Receipt, setwise
from delivery.models.device import DEVICE_ID_PATTERN
from delivery.models.push_log_rows import Arrived, Refused
from delivery.models.receipt import NewReceipt, ReceiptStatus

log = logging.getLogger(__name__)

ARRIVED = frozenset({ReceiptStatus.DELIVERED, ReceiptStatus.OPENED, ReceiptStatus.CLICKED})
STATUSES = frozenset(ReceiptStatus.values)
DEVICE_ID = re.compile(DEVICE_ID_PATTERN)
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
CANONICAL_UUID = re.compile(r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z|^[0-9a-fA-F]{32}\Z")


class BadAck(ValueError):
    """A field is wrong; says which and what to send instead."""

    def __init__(self, field_name: str, text: str) -> None:
        super().__init__(f"{field_name}: {text}")
        self.field_name = field_name
        self.text = text


class WrongProof(Exception):
    """The caller did not show that the message was theirs to ack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """What a device said about one message, checked for form only."""

    message_id: str
    status: str = ReceiptStatus.DELIVERED.value
    device_id: str | None = None
    received_at: datetime | None = None
    ack_token: str = ""
    error_code: str = ""
    error_message: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProvenAck:
    """An ack and the device that it was proved to come from."""

    ack: Ack
    device_id: str


def parse(item: object) -> Ack:
    """Read one ack of api.md. Unknown keys are ignored; `BadAck` names the field that is wrong."""
    if not isinstance(item, Mapping):
        raise BadAck("ack", "must be an object with message_id")
    message_id = _text(item, "message_id", 100)
    if not message_id:
        raise BadAck("message_id", "is required")
    status = _text(item, "status", 20) or ReceiptStatus.DELIVERED.value
    if status not in STATUSES:
        raise BadAck("status", f"must be one of {', '.join(ReceiptStatus.values)}")
    device_id = _text(item, "device_id", 100) or None
    if device_id is not None and not DEVICE_ID.match(device_id):
        raise BadAck("device_id", "may hold letters, digits and _ . : - only, at most 100")
    received_at = item.get("received_at")
    said = {key: _text(item, key, 5000) for key in ("error_code", "error_message", "platform") if key in item}
    if received_at is not None:
        said["received_at"] = str(received_at)
    return Ack(
        message_id=message_id,
        status=status,
        device_id=device_id,
        received_at=None if received_at is None else instant("received_at", received_at),
        ack_token=_text(item, "ack_token", 200),
        error_code=said.get("error_code", "")[:100],
        error_message=said.get("error_message", "")[:500],
        details={key: value[:100] for key, value in said.items() if value},
    )


def instant(field_name: str, value: object) -> datetime:
    """An ISO-8601 time as aware UTC. Without a zone it is read as UTC."""
    try:
        if not isinstance(value, str):
            raise ValueError
        return clocks.read(value)
    except ValueError:
        raise BadAck(field_name, "must be an ISO-8601 time such as 2026-11-21T12:00:00Z") from None


def prove(ack: Ack, *, key_of: str | None) -> ProvenAck:
    """Find out whose ack this is, without looking the message up.

    `key_of` is the device whose key came with the request. Else the `ack_token` from the message proves it; else the
    message id itself together with `device_id`, good for delivered, opened and clicked. Else `BadAck` or `WrongProof`.
    """
    if ack.ack_token:
        token_device = ack_tokens.device_of(ack.ack_token, canonical(ack.message_id), settings.ACK_KEYS)
        if token_device is None or (ack.device_id or token_device) != token_device:
            raise WrongProof("The ack_token was not made for this message and device")
        if key_of is None:
            return ProvenAck(ack, token_device)
    if key_of is not None:
        return ProvenAck(ack, key_of)
    if ack.device_id is None:
        raise BadAck("device_id", "is required without an ack_token or a device key")
    if settings.ACK_REQUIRE_TOKEN:
        raise WrongProof("This server wants the ack_token from the message, or a device key")
    if ack.status not in ARRIVED:
        raise WrongProof(f"The status {ack.status} needs the ack_token from the message, or a device key")
    return ProvenAck(ack, ack.device_id)


def record(proven: Sequence[ProvenAck]) -> None:
    """Write the acks down; committed on return. Unknown ids and other devices' messages change nothing, a replay too.

    Raises what the database raises: then nothing was written, and the device sends again.
    """
    known = [(UUID(item.ack.message_id), item) for item in proven if CANONICAL_UUID.match(item.ack.message_id)]
    if not known:
        return
    known.sort(key=lambda pair: pair[0].int)
    _tell(known, setwise.again_on_deadlock(lambda: _write(known)))


def _tell(known: Sequence[tuple[UUID, ProvenAck]], changed: Mapping[UUID, str | None]) -> None:
    """A line for each committed ack. Without a change (a replay, an unknown or foreign id) it knows no job."""
    if not log.isEnabledFor(logging.INFO):
        return
    for key, item in known:
        ids = {"message_id": str(key), "device_id": item.device_id, "job_id": changed.get(key)}
        log.info("ack", extra={**ids, "status": str(item.ack.status), "changed": key in changed})


def _write(known: Sequence[tuple[UUID, ProvenAck]]) -> dict[UUID, str | None]:
    """The messages that changed, with their jobs."""
    with transaction.atomic():
        now = clocks.db_now()
        changed: list[tuple[UUID, str | None, bool]] = []
        arrived = list(_arrived(known, now))
        if arrived:
            changed = PushNotificationLog.objects.mark_delivered(arrived, now=now)
        to_recount = {job_id for _, job_id, recount in changed if recount and job_id}
        refused = list(_refused(known))
        failed = PushNotificationLog.objects.mark_failed_by_device(refused, now=now) if refused else []
        Receipt.objects.add(
            [NewReceipt(key, item.device_id, item.ack.status, item.ack.details) for key, item in known], now=now
        )
        if to_recount:
            Job.objects.thaw(sorted(to_recount))
        crash_points.passing("before_ack_commit")
    crash_points.passing("after_ack_commit")
    return dict(failed) | {key: job_id for key, job_id, _ in changed}


def _arrived(known: Sequence[tuple[UUID, ProvenAck]], now: datetime) -> Iterable[Arrived]:
    """One row per message and device, whatever the number of acks: a statement may touch a row once."""
    by_message: dict[tuple[UUID, str], list[Ack]] = {}
    for key, item in known:
        if item.ack.status in ARRIVED:
            by_message.setdefault((key, item.device_id), []).append(item.ack)
    for (key, device_id), acks in by_message.items():
        told = next((ack.received_at for ack in acks if ack.received_at), None)
        statuses = {ack.status for ack in acks}
        yield Arrived(
            message_id=key,
            device_id=device_id,
            received_at=told or now,
            by_device_clock=told is not None,
            opened_at=now if statuses & {ReceiptStatus.OPENED, ReceiptStatus.CLICKED} else None,
            clicked_at=now if ReceiptStatus.CLICKED in statuses else None,
        )


def _refused(known: Sequence[tuple[UUID, ProvenAck]]) -> Iterable[Refused]:
    said = {(key, item.device_id): item.ack for key, item in reversed(known) if item.ack.status == ReceiptStatus.FAILED}
    for (key, device_id), ack in said.items():
        yield Refused(key, device_id, ack.error_code or "device_failed", ack.error_message)


def canonical(message_id: str) -> str:
    """The spelling that tokens are made over; a string that is no UUID stays as it is."""
    return str(UUID(message_id)) if CANONICAL_UUID.match(message_id) else message_id


def _text(item: Mapping[Any, Any], key: str, longest: int) -> str:
    value = item.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadAck(key, "must be a string")
    if len(value) > longest or UNSTORABLE.search(value):
        raise BadAck(key, f"must be at most {longest} characters of valid Unicode, without NUL")
    return value
