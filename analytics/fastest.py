"""Reading: which provider is the fastest at a site, and whether a technician has pinned one."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics import health, ranking
from analytics.health import Numbers
from delivery.models import SitePin
from delivery.models.push_log import INBOX

LOOKED_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One site: its providers, the best first, those with too few messages last."""

    site_id: str
    ranked: list[ranking.Ranked]
    pin: SitePin | None

    @property
    def fastest(self) -> ranking.Ranked | None:
        """None: not enough data."""
        return next((each for each in self.ranked if each.rank == 1), None)

    @property
    def suggestion(self) -> ranking.Ranked | None:
        """The fastest of at least two that could be compared, where it is not pinned already."""
        compared = [each for each in self.ranked if each.rank is not None]
        if len(compared) < 2 or (self.pin is not None and self.pin.provider == compared[0].provider):
            return None
        return compared[0]


def of_site(site_id: str, now: datetime) -> Place:
    return of_sites([site_id], now)[site_id]


def of_sites(site_ids: Collection[str], now: datetime) -> dict[str, Place]:
    """Of the last week. It reads every rollup of these sites: ask for those of one page."""
    rollups = health.between(now - LOOKED_BACK, now + timedelta(hours=1)).filter(site_id__in=site_ids)
    found: defaultdict[str, dict[str, Numbers]] = defaultdict(dict)
    for (site_id, provider), numbers in health.timed(rollups, "site_id", "provider").items():
        found[site_id][provider] = numbers
    pins = {pin.site_id: pin for pin in SitePin.objects.filter(site_id__in=site_ids)}
    return {
        site_id: Place(site_id=site_id, ranked=ranked(found[site_id]), pin=pins.get(site_id)) for site_id in site_ids
    }


def ranked(found: Mapping[str, Numbers]) -> list[ranking.Ranked]:
    """The providers by their numbers. The inbox comes last: a device fetches from it when it wants to."""
    records = {
        provider: ranking.Record(
            taken=numbers["handed_over"], delivered=numbers["delivered"], p95_ms=numbers.percentile_ms(0.95)
        )
        for provider, numbers in found.items()
        if provider != INBOX
    }
    in_order = ranking.rank(records)
    if INBOX in found:
        in_order.append(ranking.Ranked(provider=INBOX, rank=None, interval=None, why="no provider: the device fetches"))
    return in_order
