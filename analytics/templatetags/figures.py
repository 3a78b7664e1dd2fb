"""How pages write what numbers mean: `{% term %}`; moments; and the query string of a panel's CSV."""

from datetime import datetime
from itertools import count
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from analytics.definitions import STATES, Definition
from analytics.pages.asked import Asked
from delivery.admin.looks import LOOKS, moment

register = template.Library()

NUMBERS = count()
"""No two meanings on a page have the same id."""


@register.simple_tag
def term(of: Definition, name: str = "") -> SafeString:
    """A word with its meaning: shown where the pointer is or the keyboard's focus, and read aloud with it."""
    return format_html(
        '<span class="term" tabindex="0" aria-describedby="{0}">{1}</span><span class="tip" role="tooltip" id="{0}">{2}'
        "</span>",
        f"term-{next(NUMBERS)}",
        name or of.name,
        of.text,
    )


@register.simple_tag
def state(word: str) -> SafeString:
    """A state's shape and word, in its colour."""
    shape = LOOKS[word].shape if word in LOOKS else "○"
    return format_html('<span class="state {}"><i>{}</i> {}</span>', word, shape, STATES[word].name.lower())


@register.filter
def utc(at: datetime | None) -> SafeString | str:
    return moment(at)


@register.simple_tag
def csv(asked: Asked, table: str, label: str) -> SafeString:
    """A link to the panel's table as a file."""
    site = f"&site={asked.site.site_id}" if asked.site else ""
    url = f"{reverse('table', args=[table])}{asked.address(page=1)}{site}"
    return format_html('<a class="csv" href="{}" aria-label="{} as CSV" download>CSV</a>', url, label)


@register.inclusion_tag("admin/health/as_of.html")
def as_of(asked: Asked) -> dict[str, Any]:
    return {"at": asked.as_of, "span": asked.span}
