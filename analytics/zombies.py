"""Find zombies, and see when they are none any more.

A channel is a zombie when its device was online (a heartbeat within 120 s) at no fewer than ZOMBIE_PUSHES of the sends
that its provider accepted within ZOMBIE_WINDOW_H, and confirmed nothing of what came by this channel in that time, on
whatever way it fetched it. Of what went out on two channels nobody knows by which it came: confirmed, it speaks for
this channel, unconfirmed, not against it. What was called off says nothing. What is done about zombies: healing.py.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from analytics.models import Closed, Rung, Zombie
from delivery import clocks, ranks
from delivery.models import AuditLog, PushNotificationLog, setwise
from delivery.models.channel import ChannelState
from delivery.models.device import ONLINE_FOR, Lifecycle

log = logging.getLogger(__name__)

ON_ITS_WAY = timedelta(seconds=120)
"""What was sent so recently may be confirmed yet."""
LATELY = timedelta(hours=1)
"""Only who was sent something within this time is looked at: long enough for several looks to be missed."""
LAST = 20
"""Messages of a device that are looked at first."""
TRIED_LATELY = timedelta(days=7)
"""A device that registered again when asked, and is a zombie again within this time, is not asked again."""
AT_ONCE = 1_000
SYSTEM = "system"


def look() -> int:
    """Close what has ended, then find what is new; how many stand now."""
    now = clocks.db_now()
    closed, found = close_ended(now), find(now)
    if closed or found:
        log.info("looked for zombies", extra={"closed": closed, "found_or_still_there": found})
    return Zombie.objects.standing().count()


def find(now: datetime) -> int:
    """One statement, whatever the size of the fleet; how many were found, or found again.

    It begins with what was ordered lately and is not confirmed. Most of those devices have confirmed one of their last
    messages: they are out after a few rows of an index. A LIMIT inside keeps the database from reading the whole day
    for the others.
    """
    since, enough = now - timedelta(hours=settings.ZOMBIE_WINDOW_H), settings.ZOMBIE_PUSHES
    online_us = ONLINE_FOR // timedelta(microseconds=1)
    found = setwise.execute(
        f"""
        WITH unconfirmed AS MATERIALIZED (
            SELECT DISTINCT m.channel_id, m.device_id FROM push_notification_logs AS m
            WHERE m.created_at >= %s AND m.sent_at IS NOT NULL AND m.acked_at IS NULL AND m.channel_id IS NOT NULL),
        suspects AS MATERIALIZED (
            SELECT u.channel_id, u.device_id FROM unconfirmed AS u
            WHERE NOT EXISTS (
                SELECT 1 FROM (
                    SELECT m.channel_id, m.created_at, m.acked_at FROM push_notification_logs AS m
                    WHERE m.device_id = u.device_id ORDER BY m.id DESC LIMIT {LAST}) AS last
                WHERE last.channel_id = u.channel_id AND last.created_at >= %s AND last.acked_at IS NOT NULL)),
        silent AS MATERIALIZED (
            SELECT s.channel_id, s.device_id FROM suspects AS s
            WHERE (SELECT m.id FROM push_notification_logs AS m
                   WHERE m.device_id = s.device_id AND m.channel_id = s.channel_id AND m.created_at >= %s
                     AND m.acked_at IS NOT NULL
                   LIMIT 1) IS NULL),
        since AS (
            SELECT s.channel_id, s.device_id, COALESCE(MAX(z.closed_at), {setwise.moment()}) AS moment
            FROM silent AS s LEFT JOIN analytics_zombie AS z ON z.channel_id = s.channel_id
            GROUP BY s.channel_id, s.device_id),
        pushes AS (
            SELECT d.device_id, d.site_id, c.id AS channel_id, c.provider, m.sent_at,
                   (SELECT o.last_seen FROM delivery_connectivity AS o
                    WHERE o.device_id = d.id AND o.online_from <= m.sent_at
                    ORDER BY o.online_from DESC LIMIT 1) AS heard_at
            FROM since AS s
            JOIN delivery_device AS d ON d.device_id = s.device_id AND d.lifecycle IN ('pending', 'active')
            JOIN delivery_channel AS c ON c.id = s.channel_id AND c.device_id = d.id AND c.state = 'active'
            JOIN push_notification_logs AS m ON m.device_id = s.device_id AND m.channel_id = s.channel_id
            WHERE m.created_at >= %s AND m.created_at > s.moment AND m.sent_at <= %s AND m.accepted_by = ''
              AND m.status <> 'cancelled'),
        zombies AS (
            SELECT device_id, site_id, channel_id, provider, COUNT(*) AS pushes, MIN(sent_at) AS first_push_at
            FROM pushes WHERE {setwise.us_between("sent_at", "heard_at")} <= %s
            GROUP BY device_id, site_id, channel_id, provider HAVING COUNT(*) >= %s)
        INSERT INTO analytics_zombie (device_id, site_id, channel_id, provider, pushes, first_push_at,
                                      found_at, last_seen, rung, rung_at, next_at, probe_code, closed_why)
        SELECT device_id, site_id, channel_id, provider, pushes, first_push_at,
               {setwise.moment()}, {setwise.moment()}, %s, {setwise.moment()}, {setwise.moment()}, '', ''
        FROM zombies
        WHERE true
        ON CONFLICT (channel_id) WHERE closed_at IS NULL
        DO UPDATE SET last_seen = excluded.last_seen, pushes = excluded.pushes, site_id = excluded.site_id
        """,
        [
            now - LATELY,
            since,
            since,
            since,
            since,
            now - ON_ITS_WAY,
            online_us,
            enough,
            now,
            now,
            Rung.FOUND.value,
            now,
            now,
        ],
    )
    _skip_what_was_tried(now)
    return found


def _skip_what_was_tried(now: datetime) -> int:
    """One that was healed a few days ago by registering again, and not for long, goes on behind that rung."""
    tried = Zombie.objects.filter(
        channel=OuterRef("channel"), closed_why=Closed.REGISTERED_AGAIN, closed_at__gt=now - TRIED_LATELY
    )
    return (
        Zombie.objects.standing()
        .filter(Exists(tried), rung=Rung.FOUND, found_at=now)
        .update(rung=Rung.ASKED, next_at=now + timedelta(seconds=settings.ZOMBIE_MOVE_AFTER_S))
    )


def close_ended(now: datetime) -> int:
    """Close those that confirm again, or whose channel or device is not in use any more; how many."""
    return sum(
        close(zombie, why, by=SYSTEM, now=now)
        for why, ended in _ended()
        for zombie in ended.select_related("device", "channel").order_by("id")[:AT_ONCE]
    )


def _ended() -> list[tuple[Closed, QuerySet[Zombie]]]:
    standing = Zombie.objects.standing()
    acked = PushNotificationLog.objects.filter(
        device_id=OuterRef("device_id"), channel_id=OuterRef("channel_id"), acked_at__gte=OuterRef("found_at")
    )
    in_use = [ChannelState.ACTIVE, ChannelState.PARKED]
    earlier = Zombie.objects.filter(
        channel=OuterRef("channel"), closed_why=Closed.REGISTERED_AGAIN,
        closed_at__gt=OuterRef("found_at") - TRIED_LATELY,
    )  # fmt: skip
    return [
        (Closed.ACKED, standing.filter(Exists(acked))),
        (Closed.DEVICE_GONE, standing.filter(device__lifecycle__in=[Lifecycle.SUSPENDED, Lifecycle.RETIRED])),
        (Closed.CHANNEL_GONE, standing.filter(~Q(channel__state__in=in_use) | ~Q(channel__device=F("device__pk")))),
        (
            Closed.REGISTERED_AGAIN,
            standing.filter(asked_at__isnull=False, channel__registered_at__gt=F("asked_at")).exclude(Exists(earlier)),
        ),
    ]


@transaction.atomic
def close(zombie: Zombie, why: Closed, *, by: str, now: datetime) -> bool:
    """It is none any more: its channel gets its rank back. False where it was closed before."""
    if not Zombie.objects.filter(pk=zombie.pk).close(why, now):
        return False
    promoted = ranks.promote(zombie.channel)
    AuditLog.note(
        by, "closed a zombie", zombie.device, zombie.device.device_id, provider=zombie.provider, why=why.value,
        rung=zombie.rung, promoted=promoted,
    )  # fmt: skip
    return True
