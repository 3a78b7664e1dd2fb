"""What became of the messages that providers accepted at the same time: at the same site, and everywhere else.

One look at the minutes in which the messages in question were ordered, by the index on `created_at`. Only where a
provider is hardly used at other sites are the hourly numbers asked instead.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from django.db.models import F, Sum

from analytics.counting import TAKEN_BY_SQL
from analytics.evidence import Acks
from analytics.models import HourlyRollup
from analytics.rollups import hour_of
from delivery.models import PushNotificationLog, setwise

LOG = "push_notification_logs"
SLOT_S = 10
"""What was ordered in the same ten seconds fared alike; where that tells too little, the minute."""
SLOTS = 60 // SLOT_S
ENOUGH_HERE = 2
ENOUGH_ELSEWHERE = 20

Counted = dict[str, Acks]
"""By device id."""


class Traffic:
    """Around these messages, each accepted by a provider."""

    def __init__(self, rows: Sequence[PushNotificationLog]) -> None:
        self._at_sites: defaultdict[tuple[int, str, str], Counted] = defaultdict(dict)
        """By slot, site and provider."""
        self._everywhere: defaultdict[tuple[int, str], Acks] = defaultdict(Acks)
        self._acked: set[tuple[int, str]] = set()
        """Minute and device."""
        self._of_hours: dict[tuple[str, datetime], dict[str | None, Acks]] = {}
        self._asked_about = {row.pk for row in rows}
        for slot, by, site_id, device_id, taken, acked in _minutes(rows):
            self._everywhere[slot, by] = _sum(self._everywhere[slot, by], Acks(taken, acked))
            if site_id is not None:
                self._at_sites[slot, site_id, by][device_id] = Acks(taken, acked)
                if acked:
                    self._acked.add((slot // SLOTS, device_id))

    def acked_others(self, row: PushNotificationLog) -> bool:
        """Whether the device acked another message of that minute."""
        return (_slot(row) // SLOTS, row.device_id) in self._acked

    def here(self, row: PushNotificationLog, away: Collection[str]) -> Acks:
        """At the same site through the same provider, on other devices; those that were `away` are not counted."""
        if row.pk not in self._asked_about or not row.site_id:
            return Acks()
        found = Acks()
        for slots in _from_narrow_to_wide(row):
            found = Acks()
            for slot in slots:
                for device_id, acks in self._at_sites.get((slot, row.site_id, row.taken_by), {}).items():
                    if device_id != row.device_id and (acks.acked or device_id not in away):
                        found = _sum(found, acks)
            if found.taken >= ENOUGH_HERE:
                break
        return found

    def elsewhere(self, row: PushNotificationLog) -> Acks:
        """At all other sites through the same provider."""
        if row.pk not in self._asked_about:
            return Acks()
        for slots in _from_narrow_to_wide(row):
            found = Acks()
            for slot in slots:
                at_site = self._at_sites.get((slot, row.site_id or "", row.taken_by), {}).values()
                found = _sum(found, self._everywhere[slot, row.taken_by], *(_minus(acks) for acks in at_site))
            if found.taken >= ENOUGH_ELSEWHERE:
                return found
        return self._in_the_hours(row)

    def _in_the_hours(self, row: PushNotificationLog) -> Acks:
        """In that hour and the one before it."""
        hour = hour_of(row.created_at)
        if (row.taken_by, hour) not in self._of_hours:
            counted = HourlyRollup.objects.filter(hour__in=[hour, hour - timedelta(hours=1)], provider=row.taken_by)
            sums = counted.values_list("site_id").annotate(
                taken=Sum("handed_over"), acked=Sum(F("delivered") + F("late"))
            )
            self._of_hours[row.taken_by, hour] = {site: Acks(taken, acked) for site, taken, acked in sums.order_by()}
        by_site = self._of_hours[row.taken_by, hour]
        return _sum(*(acks for site_id, acks in by_site.items() if site_id != row.site_id))


def _from_narrow_to_wide(row: PushNotificationLog) -> tuple[range, range]:
    slot = _slot(row)
    minute = slot - slot % SLOTS
    return range(slot, slot + 1), range(minute, minute + SLOTS)


def _slot(row: PushNotificationLog) -> int:
    return int(row.created_at.timestamp()) // SLOT_S


def _sum(*parts: Acks) -> Acks:
    return Acks(sum(part.taken for part in parts), sum(part.acked for part in parts))


def _minus(acks: Acks) -> Acks:
    return Acks(-acks.taken, -acks.acked)


def _minutes(rows: Sequence[PushNotificationLog]) -> list[tuple[int, str, str | None, str, int, int]]:
    """(slot, provider, site, device, taken, acked) of the minutes in which these were ordered.

    Device by device at the sites of these messages; elsewhere (site None) all together.
    """
    if not rows:
        return []
    starts = sorted({_slot(row) // SLOTS * 60 for row in rows})
    # as a list of conditions and not as rows to join, so that the planner knows how few they meet
    minutes = " OR ".join(["m.created_at >= %s AND m.created_at < %s"] * len(starts))
    ends = [moment for start in starts for moment in (_at(start), _at(start + 60))]
    names = sorted({row.site_id for row in rows if row.site_id})
    sites, site_params = setwise.rows({"site_id": "text"}, [(name,) for name in names])
    return [
        (slot, by, site_id, device_id or "", int(taken), int(acked))
        for slot, by, site_id, device_id, taken, acked in setwise.fetch(
            f"""
            SELECT {setwise.whole_seconds("m.created_at")} / {SLOT_S} AS slot, {TAKEN_BY_SQL} AS taken_by, s.site_id,
                   CASE WHEN s.site_id IS NOT NULL THEN m.device_id END AS of_device, COUNT(*), COUNT(m.acked_at)
            FROM {LOG} AS m LEFT JOIN (SELECT r.site_id FROM {sites}) AS s ON s.site_id = m.site_id
            WHERE m.sent_at IS NOT NULL AND ({minutes})
            GROUP BY slot, taken_by, s.site_id, of_device
            """,
            [*site_params, *ends],
            ["bigint", "text", "text", "text", "bigint", "bigint"],
        )
    ]


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
