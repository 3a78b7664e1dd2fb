"""How states, times and durations look: a shape, a colour and a word, the same on every page."""

from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils.html import format_html
from django.utils.safestring import SafeString

from delivery.models import PushNotificationLog, Site

NOTHING = "–"


class Look(NamedTuple):
    shape: str
    means: str


LOOKS = {
    "pending": Look("○", "waits for its turn, or in the inbox"),
    "sent": Look("●", "the provider has it; nothing is known of the device yet"),
    "delivered": Look("●", "the device has it, in time"),
    "late": Look("◐", "the device has it, after its time"),
    "expired": Look("▲", "the device did not confirm it in time"),
    "failed": Look("■", "no channel took it, or the device refused it"),
    "cancelled": Look("–", "called off"),
    "skipped": Look("–", "targeted, but never to be sent"),
}


def word_of(push: PushNotificationLog) -> str:
    """The status as people read it: late stands apart from delivered."""
    return "late" if push.late else str(push.status)


def badge(word: str) -> SafeString:
    look = LOOKS[word]
    return format_html('<span class="state {}" title="{}"><i>{}</i> {}</span>', word, look.means, look.shape, word)


def moment(at: datetime | None) -> SafeString | str:
    """UTC with milliseconds."""
    if at is None:
        return NOTHING
    utc = at.astimezone(UTC)
    text = f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03d}"
    return format_html('<time datetime="{}Z">{}</time>', utc.replace(tzinfo=None).isoformat("T", "milliseconds"), text)


def zone_of(site: Site | None) -> ZoneInfo | None:
    """The site's time zone; None without a site, or where its name is not known here."""
    try:
        return ZoneInfo(site.timezone) if site else None
    except (ZoneInfoNotFoundError, ValueError):
        return None


def local(at: datetime | None, zone: ZoneInfo | None) -> str:
    """The same moment on a clock at the site; nothing for a device's time at the very edge of the calendar."""
    if at is None or zone is None:
        return NOTHING
    try:
        there = at.astimezone(zone)
    except OverflowError:
        return NOTHING
    return f"{there:%a %H:%M:%S}.{there.microsecond // 1000:03d} {there.tzname()}"


def duration(ms: float | None) -> str:
    """As long as a person wants to read it: 840 ms, 12.3 s, 4 min 10 s, 3 h 5 min."""
    if ms is None:
        return NOTHING
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.2f} s" if ms < 10_000 else f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def masked(value: object) -> object:
    """Declared capabilities hold addresses: long texts keep their first six characters."""
    if isinstance(value, dict):
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    if isinstance(value, str) and len(value) > 12:
        return f"{value[:6]}…({len(value)})"
    return value
