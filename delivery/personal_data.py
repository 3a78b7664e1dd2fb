"""All that is known of one device, given out or taken away: what a person may ask for.

Erased, nothing tells any more which device or whose it was. Its messages stay as rows without content, under a name
that means nothing, so that the numbers stay true. What others ordered for many devices at once is theirs and stays.
"""

import re
import secrets
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from delivery import clocks
from delivery.models import (
    AddressChallenge,
    Alert,
    AuditLog,
    Channel,
    Connectivity,
    DeliveryAttempt,
    Device,
    DeviceCommand,
    DeviceJob,
    DeviceReport,
    Job,
    PushNotificationLog,
    Receipt,
    TelemetryBatch,
    TelemetryLog,
)
from delivery.models.channel import ChannelState, address_hash
from delivery.models.device import Lifecycle

SECRET = frozenset({"key_hash", "previous_key_hash", "code_hash", "address_hash", "body_hash", "clock_samples"})
"""What is neither shown to anybody nor of use."""
ERASED = "erased"


def export(device: Device) -> dict[str, Any]:
    """Everything, as plain values; of orders for several devices only what this one was sent."""
    messages = PushNotificationLog.objects.filter(device=device)
    return {
        "exported_at": clocks.db_now(),
        "device": _values(Device.objects.filter(pk=device.pk))[0],
        "channels": _values(Channel.objects.filter(device=device)),
        "challenges": _values(AddressChallenge.objects.filter(channel__device=device)),
        "messages": _values(messages),
        "content": list(
            Job.objects.filter(job_id__in=messages.values("job_id")).order_by("pk").values("job_id", "name", "payload")
        ),
        "attempts": _values(DeliveryAttempt.objects.filter(push__in=messages)),
        "receipts": _values(Receipt.objects.filter(push__in=messages)),
        "commands": _values(DeviceCommand.objects.filter(device=device)),
        "reports": _values(DeviceReport.objects.filter(device=device)),
        "own_jobs": _values(DeviceJob.objects.filter(device=device)),
        "telemetry": _values(TelemetryLog.objects.filter(device=device)),
        "online": _values(Connectivity.objects.filter(device=device)),
        "audit": _values(_audited(device)),
    }


def erase(device: Device, *, by: str) -> Counter[str]:
    """Take it all away in one transaction; how many rows of which kind. It cannot be undone.

    A message that a worker sends this moment may still go out.
    """
    now = clocks.db_now()
    with transaction.atomic():
        device = Device.objects.select_for_update().get(pk=device.pk)
        name = f"{ERASED}-{secrets.token_hex(8)}"
        done = Counter[str]()
        done["orders"] = _erase_orders(device, now)
        done["messages"] = _erase_messages(device, now)
        done["channels"] = _erase_channels(device, now)
        done.update(_delete_what_it_told(device))
        done["audit"] = _rename_in_audit(device, name)
        done["alerts"] = _rename_in_alerts(device, name)
        _rename(device, name)
        AuditLog.note(by, "erased", device, name)
    return +done


def _values(rows: QuerySet[Any]) -> list[Mapping[str, Any]]:
    names = [field.attname for field in rows.model._meta.concrete_fields if field.name not in SECRET]
    return list(rows.order_by("pk").values(*names))


# --- What was sent to it
def _erase_orders(device: Device, now: datetime) -> int:
    """Orders for this device alone lose what they said; in others it is no longer named."""
    own = PushNotificationLog.objects.filter(job_id=OuterRef("job_id"))
    alone = Job.objects.filter(Exists(own.filter(device=device)), ~Exists(own.exclude(device=device)))
    erased = alone.update(name="", payload={}, target={}, wiped_at=now, idempotency_key=None, body_hash="")
    for job in Job.objects.filter(Exists(own.filter(device=device))).exclude(target={}).only("target"):
        named = job.target.get("devices")
        if named and device.device_id in named:
            job.target["devices"] = [other for other in named if other != device.device_id]
            job.save(update_fields=["target"])
    return erased


def _erase_messages(device: Device, now: datetime) -> int:
    """What is on its way is called off; the rest keeps its times and its end, for the numbers."""
    messages = PushNotificationLog.objects.filter(device=device)
    free = Q(claimed_until=None) | Q(claimed_until__lte=now)
    messages.open().filter(free).update(
        status="cancelled", error_code=ERASED, next_attempt_at=None, claim_token=None, claimed_until=None
    )
    Receipt.objects.filter(push__in=messages).update(details={})
    DeliveryAttempt.objects.filter(push__in=messages).update(detail="")
    return messages.update(provider_message_id="", error_message="", evidence="")


def _erase_channels(device: Device, now: datetime) -> int:
    """Messages refer to them, so the rows stay: without an address, and closed for good."""
    asked = Q(channel__device=device) | Q(requested_by=f"device:{device.device_id}")
    AddressChallenge.objects.filter(asked).delete()
    channels = list(Channel.objects.select_for_update().filter(device=device))
    for channel in channels:
        channel.address = f"{ERASED}-{channel.pk}"
        channel.address_hash = address_hash(channel.address)
        channel.state, channel.disabled_at = ChannelState.DISABLED, now
        channel.disabled_by, channel.disabled_code = ERASED, ""
    Channel.objects.bulk_update(
        channels, ["address", "address_hash", "state", "disabled_at", "disabled_by", "disabled_code"]
    )
    return len(channels)


# --- What it told, and what was told of it
def _delete_what_it_told(device: Device) -> dict[str, int]:
    rows: dict[str, QuerySet[Any]] = {
        "commands": DeviceCommand.objects.filter(device=device),
        "reports": DeviceReport.objects.filter(device=device),
        "own jobs": DeviceJob.objects.filter(device=device),
        "telemetry": TelemetryLog.objects.filter(device=device),
        "telemetry batches": TelemetryBatch.objects.filter(sender=f"device:{device.device_id}"),
        "online spans": Connectivity.objects.filter(device=device),
    }
    return {name: found.delete()[0] for name, found in rows.items()}


def _audited(device: Device) -> QuerySet[AuditLog]:
    """What it did and what was done to it."""
    about = Q(object_type="device", object_id=device.device_id) | Q(actor=f"device:{device.device_id}")
    return AuditLog.objects.filter(about | Q(details__device_id=device.device_id) | Q(details__to=device.device_id))


def _rename_in_audit(device: Device, name: str) -> int:
    """That somebody did something stays known, not to which device."""
    rows = AuditLog.objects.filter(pk__in=list(_audited(device).values_list("pk", flat=True)))
    rows.filter(object_type="device", object_id=device.device_id).update(object_id=name)
    rows.filter(actor=f"device:{device.device_id}").update(actor=f"device:{name}")
    return rows.update(details={})


def _rename_in_alerts(device: Device, name: str) -> int:
    whole = re.compile(rf"(?<![A-Za-z0-9_.:-]){re.escape(device.device_id)}(?![A-Za-z0-9_:-])")
    renamed = 0
    for alert in Alert.objects.filter(Q(text__contains=device.device_id) | Q(cause__contains=device.device_id)):
        alert.text, alert.cause = whole.sub(name, alert.text)[:500], whole.sub(name, alert.cause)[:300]
        alert.save(update_fields=["text", "cause"])
        renamed += 1
    return renamed


def _rename(device: Device, name: str) -> None:
    """The row stays for its messages and for the numbers: no key, no owner, a name that means nothing."""
    before = device.device_id
    Job.objects.filter(ordered_by=f"device:{before}").update(ordered_by=f"device:{name}")
    blank = Device(device_id=name, site_id=device.site_id, lifecycle=Lifecycle.RETIRED, platform=device.platform)
    blank.pk, blank.created_at = device.pk, device.created_at
    blank.save(force_update=True)
    for relation in Device._meta.related_objects:
        if relation.field.target_field.name == "device_id":
            column = relation.field.attname
            relation.related_model._default_manager.filter(**{column: before}).update(**{column: name})
