"""One site: its devices, channels, hours, providers, reasons, alerts, and whether its uplink was down."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Count, Q
from django.urls import reverse

from analytics.fastest import Place, of_site
from analytics.pages import alerts, fastest, grid, providers, reading, reasons, tiles, uplink, zombies
from analytics.pages.asked import PROVIDERS, Asked
from analytics.pages.frame import around, switches
from analytics.pages.grid import Point, Row
from analytics.pages.reading import Hour
from delivery.admin.looks import local, zone_of
from delivery.models import Channel, Connectivity, Device, Site
from delivery.models.channel import ChannelState
from delivery.models.device import ONLINE_FOR

DEVICES_SHOWN = 25


def panels(asked: Asked) -> dict[str, Any]:
    assert asked.site is not None, "a site's page"
    site = asked.site
    sums = reading.sums(asked)
    hours = reading.cells(asked, [site.site_id])
    zone = zone_of(site)
    return {
        "title": site.name or site.site_id,
        **around(asked),
        "site": site,
        "local": local(asked.now, zone),
        "switches": switches(asked),
        "tiles": [*tiles.tiles(asked, sums.total), zombies.tile(asked)],
        "alerts": alerts.standing(asked),
        "grid": grid.draw(asked, _rows(hours)),
        "providers": providers.table(asked, sums.by_provider),
        "fastest": fastest.table(asked, [site], hours),
        "reasons": reasons.table(asked, sums.total),
        "seen": seen(asked),
        "devices": devices(asked),
        "uplink": uplink_of(asked),
        "messages_url": f"{reverse('admin:delivery_pushnotificationlog_changelist')}?site={site.site_id}",
        "devices_url": f"{reverse('admin:delivery_device_changelist')}?q={site.site_id}",
        **_pin(asked, site),
        "settings_url": reverse("admin:delivery_site_change", args=[site.pk]),
    }


def _pin(asked: Asked, site: Site) -> dict[str, Any]:
    """What a technician can choose among: the providers of which devices here have an address."""
    place = of_site(site.site_id, asked.now)
    here = channels(site)
    return {
        "channels": here,
        "place": place,
        "suggested_name": PROVIDERS.get(place.suggestion.provider, "") if place.suggestion else "",
        "choices": [(each["provider"], each["name"]) for each in here if not _is_pinned(place, each["provider"])],
        "can_pin": asked.person.has_perm("delivery.change_site"),
        "pin_url": reverse("admin:delivery_site_pin", args=[site.pk]),
    }


def _is_pinned(place: Place, provider: str) -> bool:
    return place.pin is not None and place.pin.provider == provider


def _rows(hours: Mapping[datetime, Hour]) -> list[Row]:
    """The hours of each provider."""
    points: dict[str, dict[datetime, Point]] = {}
    for at, hour in hours.items():
        for (_, provider), numbers in hour.by_provider.items():
            points.setdefault(provider, {})[at] = Point(numbers, numbers.percentile_ms(0.95))
    return [
        Row(PROVIDERS.get(name, name), reverse("provider_page", args=[name]), points[name], provider=name)
        for name in sorted(points)
    ]


def seen(asked: Asked) -> dict[str, int]:
    """Devices that may get messages: together they are all of them."""
    online_since = asked.now - ONLINE_FOR
    found: dict[str, int] = (
        Device.objects.reachable()
        .filter(site=asked.site)
        .aggregate(
            devices=Count("pk"),
            online=Count("pk", filter=Q(last_heartbeat_at__gte=online_since)),
            offline=Count("pk", filter=Q(last_heartbeat_at__lt=online_since)),
            unknown=Count("pk", filter=Q(last_heartbeat_at=None)),
        )
    )
    return found


def devices(asked: Asked) -> list[dict[str, Any]]:
    """Those that have been silent the longest come first."""
    found = Device.objects.reachable().filter(site=asked.site).prefetch_related("channels")
    return [
        {
            "device": device,
            "url": reverse("admin:delivery_device_change", args=[device.pk]),
            "state": device.connectivity_state(asked.now),
            "channels": list(device.channels.all()),
        }
        for device in found.order_by("last_heartbeat_at", "pk")[:DEVICES_SHOWN]
    ]


def channels(site: Site) -> list[dict[str, Any]]:
    """By provider: how many addresses are in which state."""
    counted: Iterable[Any] = (
        Channel.objects.filter(device__site=site)
        .values("provider")
        .annotate(all=Count("pk"), **{state.value: Count("pk", filter=Q(state=state)) for state in ChannelState})
        .order_by("provider")
    )
    return [{**row, "name": PROVIDERS.get(row["provider"], row["provider"])} for row in counted]


def uplink_of(asked: Asked) -> dict[str, Any]:
    """Its gaps, the newest first, and since when anything is known: the first that was seen of a device."""
    spans = list(
        Connectivity.objects.filter(device__site=asked.site, last_seen__gte=asked.first).values_list(
            "online_from", "last_seen"
        )
    )
    since = max(asked.first, min(begun for begun, _ in spans)) if spans else None
    return {"since": since, "gaps": uplink.gaps(spans, asked.first, min(asked.now, asked.end))[::-1]}
