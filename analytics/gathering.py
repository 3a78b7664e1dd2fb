"""The evidence about many messages at once: a handful of statements for a batch, whatever the age of the log.

Each goes by an index: attempts by message, a site's devices by site, spans by device and time. What other messages of
that time became: traffic.py.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db.models import Max, Min, Q

from analytics.evidence import Evidence, Gate, Others, Presence, Span, Tried
from analytics.traffic import Traffic
from delivery import breaker, fanout
from delivery.models import Channel, DeliveryAttempt, Device, GateSpan, PushNotificationLog, Status, setwise
from delivery.models.channel import ChannelState
from delivery.models.gate_span import THROTTLE_LASTS, Trouble
from delivery.models.push_log import INBOX
from delivery.outcomes import OutcomeKind

A_DAY = timedelta(days=1)
SAMPLE = 200
"""So many devices stand for the fleet."""
CLIMB = timedelta(seconds=breaker.CLIMB_S)
"""So long a gate that opened again lets little through."""

Spans = Mapping[str, Span]
"""By device id."""
Place = tuple[str, datetime]
"""A site, or a device without one, and the end of a message's time."""


def gather(rows: Sequence[PushNotificationLog], judged_at: datetime) -> list[Evidence]:
    """The evidence about each of these, in their order."""
    unconfirmed = [row for row in rows if row.status in (Status.EXPIRED, Status.FAILED)]
    tried = _tried(rows)
    gates = list(_gates(unconfirmed))
    gone = _gone({row.device_id for row in unconfirmed if row.provider == INBOX})
    seen = _seen(unconfirmed)
    traffic = Traffic([row for row in unconfirmed if row.sent_at is not None and row.taken_by != INBOX])
    fleet = _Fleet(judged_at)
    configured = fanout.configured()
    found = []
    for row in rows:
        spans: Spans = seen.get(_place(row), {})
        present = {device_id: _presence(row, span, judged_at) for device_id, span in spans.items()}
        found.append(
            Evidence(
                judged_at=judged_at,
                status=row.status,
                code=row.error_code,
                created_at=row.created_at,
                expires_at=row.expires_at,
                sent_at=row.sent_at,
                acked_at=row.acked_at,
                arrived_at=_arrived_at(row),
                provider=row.taken_by or row.provider,
                accepted_code=row.accepted_code,
                tried=tried.get(row.pk),
                gate=_longest(row, gates, judged_at),
                configured=row.provider == INBOX or (row.provider, row.credential) in configured,
                gone=gone.get(row.device_id, ""),
                holder_died=row.claim_alone or row.lost_claims > 0,
                seen=spans.get(row.device_id),
                acked_others=traffic.acked_others(row),
                others=_others(row, spans, present),
                fleet=fleet.around(row) if present.get(row.device_id) is not Presence.ONLINE else Others(),
                here=traffic.here(row, {d for d, was in present.items() if was is not Presence.ONLINE}),
                elsewhere=traffic.elsewhere(row),
            )
        )
    return found


def _arrived_at(row: PushNotificationLog) -> datetime | None:
    if row.received_at is None or row.clock_skewed:
        return None
    return row.received_at + timedelta(milliseconds=row.clock_offset_ms or 0)


# --- What was tried --------------------------------------------------------------------------------------------------
def _tried(rows: Sequence[PushNotificationLog]) -> dict[int, Tried]:
    refused = DeliveryAttempt.objects.filter(push__in=[row.pk for row in rows])
    refused = refused.exclude(outcome=OutcomeKind.ACCEPTED.value).order_by("id")
    found: dict[int, Tried] = {}
    for push_id, provider, outcome, code in refused.values_list("push_id", "provider", "outcome", "code"):
        before = found[push_id].times if push_id in found else 0
        found[push_id] = Tried(provider, outcome, code, before + 1)
    return found


def _gone(device_ids: Iterable[str]) -> dict[str, str]:
    """Devices whose messages went to the inbox, and the code with which their channel was taken out of use."""
    closed = Channel.objects.filter(
        device__device_id__in=list(device_ids), state__in=[ChannelState.PARKED, ChannelState.DISABLED]
    )
    return {
        device_id: code or "that it is gone"
        for device_id, code in closed.order_by("disabled_at").values_list("device__device_id", "disabled_code")
    }


def _gates(rows: Sequence[PushNotificationLog]) -> Iterable[GateSpan]:
    """All trouble of these messages' providers in their time."""
    if not rows:
        return ()
    first, last = min(row.created_at for row in rows), max(row.expires_at for row in rows)
    providers = {_waited_for(row) for row in rows}
    return GateSpan.objects.filter(
        Q(closed_at=None) | Q(closed_at__gte=first - CLIMB), provider__in=providers, began_at__lte=last
    )


def _waited_for(row: PushNotificationLog) -> str:
    """The provider, also of a message that has left it for the inbox."""
    return row.fallback_from if row.provider == INBOX and row.fallback_from else row.provider


def _longest(row: PushNotificationLog, gates: Sequence[GateSpan], now: datetime) -> Gate | None:
    """The trouble that held the message back for longest, while it waited to be sent."""
    life = row.expires_at - row.created_at
    until = row.sent_at or row.expires_at
    found: tuple[timedelta, GateSpan] | None = None
    for span in gates:
        credential = row.credential or span.credential
        if (span.provider, span.credential) != (_waited_for(row), credential):
            continue
        shut = min(until, _end(span, now)) - max(row.created_at, span.began_at)
        if shut > timedelta(0) and (found is None or shut > found[0]):
            found = (shut, span)
    if found is None:
        return None
    shut, span = found
    return Gate(span.provider, span.trouble, span.why, min(1.0, shut / life))


def _end(span: GateSpan, now: datetime) -> datetime:
    if span.trouble == Trouble.THROTTLED:
        return span.closed_at or span.last_at + THROTTLE_LASTS
    return (span.closed_at or now) + CLIMB


# --- Who was there ---------------------------------------------------------------------------------------------------
def _place(row: PushNotificationLog) -> Place:
    return row.site_id or row.device_id, row.expires_at


def _seen(rows: Sequence[PushNotificationLog]) -> dict[Place, dict[str, Span]]:
    """By place: when each device was online last before that end; a site's devices all together."""
    found: dict[Place, dict[str, Span]] = defaultdict(dict)
    for column, places in (
        ("site_id", {_place(row) for row in rows if row.site_id}),
        ("device_id", {_place(row) for row in rows if not row.site_id}),
    ):
        for name, end_at, device_id, online_from, last_seen in _last_spans(column, sorted(places)):
            found[name, end_at][device_id] = Span(online_from, last_seen)
    return found


def _last_spans(column: str, places: Sequence[Place]) -> list[tuple[str, datetime, str, datetime, datetime]]:
    if not places:
        return []
    table, params = setwise.rows({"name": "text", "end_at": "timestamptz"}, places)
    # each of the two by itself: joined to the table of spans, all of them would be read
    last = """(SELECT s.{column} FROM delivery_connectivity AS s WHERE s.device_id = d.id
               AND s.online_from <= r.end_at ORDER BY s.online_from DESC LIMIT 1)"""
    found = setwise.fetch(
        f"""
        SELECT r.name, r.end_at, d.device_id, {last.format(column="online_from")}, {last.format(column="last_seen")}
        FROM {table} JOIN delivery_device AS d ON d.{column} = r.name
        """,
        params,
        ["text", "timestamptz", "text", "timestamptz", "timestamptz"],
    )
    return [
        (name, end_at, device_id, online_from, last_seen)
        for name, end_at, device_id, online_from, last_seen in found
        if online_from is not None
    ]


class _Fleet:
    """A few hundred devices of all sites, the same for a batch: whether anybody was heard."""

    def __init__(self, judged_at: datetime) -> None:
        self._judged_at = judged_at
        self._sample: list[str] = []
        self._seen: dict[datetime, dict[str, Span]] = {}

    def around(self, row: PushNotificationLog) -> Others:
        """Who of them was there in the time of this message."""
        minute = row.expires_at.replace(second=0, microsecond=0)  # so that many messages share one look
        if minute not in self._seen:
            self._sample = self._sample or _some_devices()
            spans = _last_spans("device_id", [(device_id, minute) for device_id in self._sample])
            self._seen[minute] = {each: Span(since, last) for _, _, each, since, last in spans}
        spans_then = self._seen[minute]
        present = {device_id: _presence(row, span, self._judged_at) for device_id, span in spans_then.items()}
        return _known(row, spans_then, present)


def _some_devices() -> list[str]:
    """Spread over the whole table by their row ids, without reading it."""
    ends = Device.objects.aggregate(first=Min("pk"), last=Max("pk"))
    if ends["first"] is None:
        return []
    step = max(1, (ends["last"] - ends["first"]) // SAMPLE)
    chosen = range(ends["first"], ends["last"] + 1, step)
    return list(Device.objects.filter(pk__in=chosen).values_list("device_id", flat=True))


def _presence(row: PushNotificationLog, span: Span, judged_at: datetime) -> Presence:
    return span.presence(row.sent_at or row.created_at, row.expires_at, judged_at)


def _others(row: PushNotificationLog, spans: Spans, present: Mapping[str, Presence]) -> Others:
    """The site's other devices."""
    return _known(row, spans, present) if row.site_id else Others()


def _known(row: PushNotificationLog, spans: Spans, present: Mapping[str, Presence]) -> Others:
    """One that was not heard for a day says nothing about the others."""
    recently = (row.sent_at or row.created_at) - A_DAY
    known = [present[d] for d, span in spans.items() if d != row.device_id and span.last_seen >= recently]
    return Others(len(known), known.count(Presence.ONLINE), known.count(Presence.NOT_YET_KNOWN))
