"""Step 1: accept an order: who gets what, until when.

An accepted order is committed: the job, its target as ordered and the highest device row of that moment. Its messages
are written by fanout.py, and nothing that happens to a broker or a worker can lose them.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet

from delivery import clocks, fanout, hints, intake, sizes
from delivery.models import Device, Job, PushNotificationLog, Site, Status
from delivery.models.job import JobStatus
from delivery.models.push_log_rows import NewRow
from delivery.priority import Priority

log = logging.getLogger(__name__)

AT_ONCE = 50
"""The messages of an order for so few devices are written with it: it waits for no worker, and for no other order."""
PROGRESS_FRESH_S = 2.0
REST_PER_MESSAGE_S = 1e-5
"""For how long a job's messages are not counted again, for each of them: a large job costs no more than a small one."""
PARTS = ("pending", "sent", "delivered", "late", "failed", "expired", "cancelled", "skipped")


class BadOrder(ValueError):
    """A field of the order is wrong; says which and what to do."""

    def __init__(self, field_name: str, text: str) -> None:
        super().__init__(f"{field_name}: {text}")
        self.field_name = field_name
        self.text = text


class KeyReused(Exception):
    """The idempotency key stands for another order already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who is meant: every device that any of the lists names; `all` means every device in reach."""

    sites: Sequence[str] = ()
    segments: Sequence[str] = ()
    devices: Sequence[str] = ()
    users: Sequence[int] = ()
    all: bool = False


@dataclass(frozen=True, slots=True)
class Once:
    """A caller's own name for an order, and the hash of what it asked with: sent again, it is the same order."""

    key: str
    body_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order, checked for form. `payload` is what devices get: title, body, data, ..."""

    name: str
    target: Target
    payload: Mapping[str, Any]
    priority: Priority = Priority.NORMAL
    ttl_s: int | None = None
    collapse_key: str = ""
    ordered_by: str
    reach: Sequence[str] | None = None
    """The sites that the caller may send to; None: everything."""


def accept(order: Order, *, idempotency_key: str | None = None) -> tuple[Job, bool]:
    """Commit an order; its messages follow, those for few devices come with it. Returns the job, and whether it is new.

    The same key and order from the same caller give the same job again (False); `KeyReused` for another order.
    `BadOrder` where the target names what the caller cannot see; `intake.Overloaded` where it would wait for too long.
    """
    body_hash = _body_hash(order)
    if idempotency_key is not None:
        earlier = Job.objects.filter(ordered_by=order.ordered_by, idempotency_key=idempotency_key).first()
        if earlier is not None:
            return _same(earlier, body_hash), False
    _check_target(order)
    devices = fanout.targeted(asdict(order.target), order.reach)
    _check_size(order, devices)
    intake.check(order.priority, devices)
    try:
        with transaction.atomic():
            most = min(AT_ONCE, settings.FANOUT_CHUNK)
            few = list(devices.order_by("pk").values_list("pk", flat=True)[: most + 1])
            if len(few) <= most:
                job = _create(order, idempotency_key, body_hash, few)
                fanout.write_all(job, few)
            else:
                job = _create(order, idempotency_key, body_hash)
                hints.wake_fanout()
        log.info("job accepted", extra={"job_id": job.job_id, "ordered_by": job.ordered_by})
        return job, True
    except IntegrityError:
        earlier = Job.objects.filter(ordered_by=order.ordered_by, idempotency_key=idempotency_key).first()
        if earlier is None:
            raise
        return _same(earlier, body_hash), False


def accept_at_once(
    order: Order, devices: Sequence[Device], by: Mapping[int, int] | None = None, *, once: Once | None = None
) -> dict[str, NewRow]:
    """Commit an order for these few devices together with their messages, so that their ids are known now.

    `by` names the channel (row id) to take first, by device (row id). Returns the messages by `device_id`, those of the
    earlier order where it came in `once` already. `intake.Overloaded` where they would wait for too long.
    """
    targeted = Device.objects.filter(pk__in=[device.pk for device in devices])
    _check_size(order, targeted)
    intake.check(order.priority, targeted)
    try:
        with transaction.atomic():
            key, body_hash = (once.key, once.body_hash) if once else (None, "")
            job = _create(order, key, body_hash, [device.pk for device in devices])
            rows = fanout.write_rows(job, devices, by)
    except IntegrityError:
        earlier = accepted_before(order.ordered_by, once) if once else None
        if earlier is None:
            raise
        return earlier
    for row in rows:
        log.info("job accepted", extra={"job_id": job.job_id, "ordered_by": job.ordered_by, **row.ids})
    return {row.device_id: row for row in rows}


def once(key: str, asked: object) -> Once:
    """`asked` is all that the caller said, as JSON."""
    return Once(key, _hash(asked))


def accepted_before(ordered_by: str, once: Once) -> dict[str, NewRow] | None:
    """The messages of the order that this caller's key stands for already, by `device_id`; None where it is new.

    `KeyReused` where it stands for another one, or for one whose messages are kept no longer.
    """
    earlier = Job.objects.filter(ordered_by=ordered_by, idempotency_key=once.key).first()
    if earlier is None:
        return None
    rows = _rows_of(_same(earlier, once.body_hash))
    if not rows:
        raise KeyReused("The messages of this Idempotency-Key are kept no longer. Use a new key for a new order")
    return {row.device_id: row for row in rows}


def _rows_of(job: Job) -> list[NewRow]:
    return [
        NewRow(row.message_id, row.device_id, row.site_id, row.provider, row.credential, row.channel_id)
        for row in PushNotificationLog.objects.filter(job=job)
    ]


def _create(order: Order, idempotency_key: str | None, body_hash: str, few: Sequence[int] | None = None) -> Job:
    """`few`: devices (row ids) whose messages are written in the same transaction; without it, fanout.py follows."""
    now = clocks.db_now()
    return Job.objects.create(
        name=order.name,
        target={key: value for key, value in asdict(order.target).items() if value},
        reach=None if order.reach is None else list(order.reach),
        payload=dict(order.payload),
        priority=order.priority,
        ttl_s=settings.DEFAULT_TTL_S if order.ttl_s is None else order.ttl_s,
        collapse_key=order.collapse_key,
        status=JobStatus.QUEUED if few is None else JobStatus.RUNNING,
        created_at=now,
        fanned_out_at=None if few is None else now,
        last_device=Device.objects.highest() if few is None else max(few, default=0),
        ordered_by=order.ordered_by,
        idempotency_key=idempotency_key,
        body_hash=body_hash,
    )


def _same(earlier: Job, body_hash: str) -> Job:
    if earlier.body_hash != body_hash:
        raise KeyReused("This Idempotency-Key was used for another order. Use a new key for a new order")
    return earlier


def _body_hash(order: Order) -> str:
    said = {key: value for key, value in asdict(order).items() if key not in ("ordered_by", "reach")}
    return _hash(said)


def _hash(said: object) -> str:
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _check_target(order: Order) -> None:
    """Explicit names must be there and in reach; the two are not told apart."""
    target = order.target
    if not (target.all or target.sites or target.segments or target.devices or target.users):
        raise BadOrder("target", "names nobody: give sites, segments, devices, users or all")
    in_reach = Q() if order.reach is None else Q(site_id__in=list(order.reach))
    _all_known("target.sites", target.sites, Site.objects.filter(in_reach).values_list("site_id", flat=True))
    devices = Device.objects.filter(in_reach)
    _all_known("target.devices", target.devices, devices.values_list("device_id", flat=True))
    _all_known("target.users", target.users, devices.values_list("owner_id", flat=True))


def _check_size(order: Order, devices: QuerySet[Device]) -> None:
    try:
        sizes.check(order.payload, order.priority, devices)
    except sizes.TooLarge as error:
        raise BadOrder("push_notification", str(error)) from None


def _all_known(field_name: str, wanted: Sequence[Any], there: Any) -> None:
    if not wanted:
        return
    column = f"{there._fields[0]}__in"
    unknown = sorted({*wanted} - set(there.filter(**{column: list(wanted)}).distinct().order_by()), key=str)
    if unknown:
        shown = ", ".join(str(name)[:100] for name in unknown[:10])
        raise BadOrder(field_name, f"not known: {shown}{' and more' if len(unknown) > 10 else ''}")


# --- Progress: counted from the rows
def progress(job: Job) -> dict[str, int]:
    """How many messages are where. `targeted` is the rows so far, and the parts sum to it.

    Up to 2 s old, of more than 200,000 messages older: see `rest_s`.
    """
    if job.frozen_progress is not None:
        return dict(job.frozen_progress)
    key = f"progress:{job.job_id}"
    cached: dict[str, int] | None = caches["local"].get(key)
    if cached is None:
        cached = count(job.job_id)
        caches["local"].set(key, cached, max(PROGRESS_FRESH_S, rest_s(cached)))
    return cached


def rest_s(counts: Mapping[str, int]) -> float:
    """How long such a count serves before it is worth another; longer than it took, however many messages there are."""
    return counts["targeted"] * REST_PER_MESSAGE_S


def count(job_id: str) -> dict[str, int]:
    """The same, from the rows as they are now."""
    counts = dict.fromkeys(PARTS, 0)
    by_status = (
        PushNotificationLog.objects.filter(job_id=job_id)
        .values("status")
        .annotate(rows=Count("id"), over=Count("expired_at"))
        .order_by()
    )
    for part in by_status:
        late = part["over"] if part["status"] == Status.DELIVERED else 0
        counts[part["status"]] += part["rows"] - late
        counts["late"] += late
    return {"targeted": sum(counts.values()), **counts}


def status_word(job: Job, counts: Mapping[str, int]) -> str:
    """The job's status; `acknowledged` once every message was delivered."""
    arrived = counts["delivered"] + counts["late"]
    if job.status == JobStatus.COMPLETED and 0 < counts["targeted"] == arrived:
        return "acknowledged"
    return job.status
