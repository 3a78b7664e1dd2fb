"""Whether an order can be taken on: not while what goes before it has waited for too long.

An order is refused when one of its devices has a channel with a late credential: one that may send at full speed, and
whose oldest due row of the order's priority, or a more urgent one, is older than INTAKE_LIMIT_S. So less urgent work
never keeps an urgent order out, and an overloaded provider refuses none but its own. Rows behind a gate that is closed
or slow say nothing of our load: they do not count, and end with their TTL.
"""

from datetime import timedelta

from django.conf import settings
from django.core.cache import caches
from django.db.models import Q, QuerySet

from delivery import clocks, credentials, gate
from delivery.models import Channel, Device, PushNotificationLog
from delivery.priority import Priority

FRESH_S = 1.0
"""How long one look at the rows serves all orders of a process."""
RETRY_AFTER_S = 15.0


class Overloaded(Exception):
    """Nothing was ordered: it would wait for too long. Says for whom."""

    def __init__(self, providers: set[str]) -> None:
        super().__init__(
            f"Orders are not taken at the moment: {', '.join(sorted(providers))} cannot keep up with what was ordered "
            "before. Try again later; nothing was ordered."
        )


def check(priority: Priority, devices: QuerySet[Device]) -> None:
    """`Overloaded` where an order of this priority for these devices would have to wait for too long."""
    late = _late(priority)
    if not late:
        return
    any_of = Q()
    for provider, credential in late:
        any_of |= Q(provider=provider, credential=credential)
    ways = Channel.objects.usable().filter(any_of, device__in=devices.values("pk"))
    used = set(ways.order_by().values_list("provider", flat=True).distinct())
    if used:
        raise Overloaded(used)


def _late(priority: Priority) -> frozenset[tuple[str, str]]:
    key = f"intake:{int(priority)}"
    late: frozenset[tuple[str, str]] | None = caches["local"].get(key)
    if late is None:
        late = _look(priority)
        caches["local"].set(key, late, FRESH_S)
    return late


def _look(priority: Priority) -> frozenset[tuple[str, str]]:
    now = clocks.db_now()
    usable = credentials.usable()
    unlimited = {
        (provider, name)
        for provider, named in usable.items()
        for name, config in named.items()
        if not config.get("rate_per_s")
    }
    oldest = PushNotificationLog.objects.oldest_due(now, unlimited - gate.held_back(now), up_to=priority)
    limit = timedelta(seconds=settings.INTAKE_LIMIT_S)
    return frozenset(which for which, due_at in oldest.items() if now - due_at > limit)
