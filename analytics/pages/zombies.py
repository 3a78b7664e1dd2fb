"""Zombies: channels whose devices are seen online and confirm nothing. The tile; the list is in analytics/admin.py."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, QuerySet
from django.urls import reverse

from analytics import definitions
from analytics.models import Zombie
from analytics.pages import links
from analytics.pages.asked import Asked
from analytics.pages.links import Figure
from analytics.pages.tiles import Tile

COLUMNS = ("device_id", "site", "provider", "pushes", "first_push_at", "found_at", "rung", "rung_at")


def tile(asked: Asked) -> Tile:
    """As it is now, whatever hours are shown."""
    found = standing(asked).aggregate(channels=Count("pk"), devices=Count("device", distinct=True))
    site = f"&site__exact={asked.site.site_id}" if asked.site else ""
    provider = f"&provider__exact={asked.provider}" if asked.provider else ""
    url = f"{reverse('admin:analytics_zombie_changelist')}?standing=1{site}{provider}"
    channels = Figure(found["channels"], url)
    judged = "bad" if found["devices"] else "good"
    parts = [(channels, "silent by channel, now")]
    return Tile("Zombie devices", definitions.ZOMBIES, links.counted(found["devices"]), url, "none", judged, parts)


def standing(asked: Asked) -> QuerySet[Zombie]:
    found = Zombie.objects.standing()
    if asked.site is not None:
        found = found.filter(site=asked.site)
    elif not asked.everywhere:
        found = found.filter(site_id__in=asked.site_ids)
    return found if asked.provider is None else found.filter(provider=asked.provider)


def lines(asked: Asked) -> Iterator[list[Any]]:
    for zombie in standing(asked).order_by("found_at").iterator():
        yield [
            zombie.device_id, zombie.site_id or "", zombie.provider, zombie.pushes, zombie.first_push_at.isoformat(),
            zombie.found_at.isoformat(), zombie.rung, zombie.rung_at.isoformat(),
        ]  # fmt: skip
