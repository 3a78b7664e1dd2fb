"""From a figure to exactly the messages that it counts."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from analytics.counting import HOUR
from analytics.pages.asked import Asked

NO_SITE = ""
"""As a site's id in `messages`: those that belong to none."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A count, and where its messages are."""

    count: int
    url: str

    @property
    def text(self) -> str:
        return counted(self.count)

    def __str__(self) -> SafeString:
        """As templates write it."""
        return format_html('<a href="{}">{}</a>', self.url, self.text)


def counted(number: int) -> str:
    """12 345"""
    return f"{number:,}".replace(",", " ")


def messages(
    asked: Asked,
    state: str | None = None,
    *,
    site_id: str | None = None,
    provider: str | None = None,
    hour: datetime | None = None,
    **more: str,
) -> str:
    """The list of what is in `state` (a word of the list's filter), of what is asked for or of one part of it."""
    begin, end = (hour, hour + HOUR) if hour is not None else (asked.first, asked.end)
    site = asked.site.site_id if site_id is None and asked.site is not None else site_id
    under = provider or asked.provider
    query = {
        "from": written(begin),
        "to": written(end),
        **({"site__isnull": "True"} if site == NO_SITE else {"site": site} if site else {}),
        **({"under": under} if under else {}),
        **({"state": state} if state else {}),
        **more,
    }
    return f"{_list()}?{urlencode(query)}"


@lru_cache(maxsize=2_000)
def written(at: datetime) -> str:
    """A moment in an address."""
    return f"{at:%Y-%m-%dT%H:%MZ}"


@cache
def _list() -> str:
    return reverse("admin:delivery_pushnotificationlog_changelist")


def figure(
    asked: Asked, count: int, state: str | None = None, *, site_id: str | None = None, provider: str | None = None
) -> Figure:
    return Figure(count, messages(asked, state, site_id=site_id, provider=provider))
