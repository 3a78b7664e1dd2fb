"""Pure: when a site was silent as a whole. All devices of a site silent at once is its uplink, not the devices."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

SILENT_FOR = timedelta(seconds=120)
"""As long as a single device may be silent and still is called online."""


@dataclass(frozen=True, slots=True)
class Gap:
    began: datetime
    ended: datetime | None
    """None: it goes on."""

    @property
    def lasted_s(self) -> float | None:
        return None if self.ended is None else (self.ended - self.began).total_seconds()


def gaps(spans: Iterable[tuple[datetime, datetime]], first: datetime, now: datetime) -> list[Gap]:
    """When no device was seen for over SILENT_FOR, from `first` to `now`; a span is online_from and last_seen."""
    found: list[Gap] = []
    seen = first
    known = False
    for begun, last in sorted(spans):
        if known and begun - seen > SILENT_FOR:
            found.append(Gap(seen, begun))
        seen, known = max(seen, last) if known else max(first, last), True
    if known and now - seen > SILENT_FOR:
        found.append(Gap(seen, None))
    return found
