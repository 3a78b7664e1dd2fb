"""In which order a device's channels come: its own ranks, with the site's pin and a zombie's healing laid over them.

`rank` is what routing reads, so that a send asks nothing more. Where a pin or a demotion changes the order of a
device's channels, `own_rank` keeps what the device or a technician gave; when they end, it is `rank` again. Whatever
changes one of the four settles the ranks; twice gives the same.
"""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import F

from delivery import credentials
from delivery.models import Channel, Device, setwise


def settle_device(device: Device) -> int:
    return _settle("d.id = %s", [device.pk])


def settle_site(site_id: str) -> int:
    return _settle("d.site_id = %s", [site_id])


def settle_all() -> int:
    """What a pin that was set at the same moment as a registration did not see; how many channels it moved."""
    return _settle(
        """
        d.id IN (SELECT device_id FROM delivery_channel WHERE own_rank IS NOT NULL OR demoted)
        OR d.site_id IN (SELECT site_id FROM delivery_sitepin)
        """,
        [],
    )


def lift(device: Device) -> int:
    """Each channel of the device at its own rank again, until it is settled. Runs under the device's lock."""
    return Channel.objects.filter(device=device).exclude(own_rank=None).update(rank=F("own_rank"), own_rank=None)


@transaction.atomic
def demote(channel: Channel) -> bool:
    """Put a channel behind the device's others. False where that would leave it none to come before it."""
    Device.objects.select_for_update().get(pk=channel.device_id)
    if not Channel.objects.filter(pk=channel.pk, demoted=False, state="active").exists() or not _others(channel):
        return False
    Channel.objects.filter(pk=channel.pk).update(demoted=True)
    settle_device(channel.device)
    return True


@transaction.atomic
def promote(channel: Channel) -> bool:
    """Take a demotion back; False where there was none."""
    Device.objects.select_for_update().get(pk=channel.device_id)
    taken_back = Channel.objects.filter(pk=channel.pk, demoted=True).update(demoted=False)
    if taken_back:
        settle_device(channel.device)
    return bool(taken_back)


def _others(channel: Channel) -> list[Channel]:
    """The device's other channels that can carry a message: active, good, and of a credential that this server has."""
    usable = credentials.usable()
    others = Channel.objects.usable().filter(device_id=channel.device_id, demoted=False).exclude(pk=channel.pk)
    return [other for other in others if other.credential in usable.get(other.provider, {})]


def _settle(where: str, params: Sequence[Any]) -> int:
    """A demoted channel comes last, the pinned provider's first, the others between them as they stand."""
    return setwise.execute(
        f"""
        WITH placed AS (
            SELECT c.id, COALESCE(c.own_rank, c.rank) AS own,
                   ROW_NUMBER() OVER (
                       PARTITION BY c.device_id
                       ORDER BY c.demoted, CASE WHEN c.provider = p.provider THEN 0 ELSE 1 END,
                                COALESCE(c.own_rank, c.rank), c.id) - 1 AS place,
                   MAX(CASE WHEN c.demoted OR c.provider = p.provider THEN 1 ELSE 0 END)
                       OVER (PARTITION BY c.device_id) AS moved
            FROM delivery_channel AS c
            JOIN delivery_device AS d ON d.id = c.device_id
            LEFT JOIN delivery_sitepin AS p ON p.site_id = d.site_id
            WHERE {where})
        UPDATE delivery_channel AS c
        SET rank = CASE WHEN w.moved = 1 THEN w.place ELSE w.own END,
            own_rank = CASE WHEN w.moved = 1 THEN w.own END
        FROM placed AS w
        WHERE w.id = c.id
          AND (c.rank <> CASE WHEN w.moved = 1 THEN w.place ELSE w.own END
               OR COALESCE(c.own_rank, -1) <> CASE WHEN w.moved = 1 THEN w.own ELSE -1 END)
        """,
        params,
    )
