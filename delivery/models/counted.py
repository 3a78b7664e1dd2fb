"""What the numbers count of the log: sums (analytics) and lists of messages (admin) say the same, so it stands here."""

from django.db.models import Case, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, NullIf

from delivery.models.attempt import DeliveryAttempt

TAKEN_BY = Case(When(accepted_by="", then=F("provider")), default=F("accepted_by"))
"""Who accepted a message; for those with `sent_at`."""

ARRIVED = Q(status="delivered")
HANDED_OVER = Q(sent_at__isnull=False) | ARRIVED
IN_TIME = ARRIVED & Q(expired_at=None)

FIGURES = {
    "delivered": IN_TIME,
    "late": ARRIVED & Q(expired_at__isnull=False),
    "failed": Q(status="failed"),
    "expired": Q(status="expired"),
    "cancelled": Q(status="cancelled"),
    "skipped": Q(status="skipped"),
    "open": Q(status__in=["pending", "sent"]),
    "arrived": ARRIVED,
    "missed": Q(status__in=["failed", "expired"]),
    "not_in_time": Q(status__in=["failed", "expired", "cancelled"]) | (ARRIVED & Q(expired_at__isnull=False)),
    "handed_over": HANDED_OVER,
    "fallback": HANDED_OVER & ~Q(fallback_from=""),
    "measured": IN_TIME & Q(latency_ms__isnull=False, sent_at__isnull=False),
    "skewed": ARRIVED & Q(clock_skewed=True),
    "opened": ARRIVED & Q(opened_at__isnull=False),
    "clicked": ARRIVED & Q(clicked_at__isnull=False),
}
"""Which messages a figure counts. Of `delivered` to `open` each message is in exactly one."""


def counted_under() -> Case:
    """The provider under which a message is counted: who accepted it, else the first that it was meant for."""
    first_tried = DeliveryAttempt.objects.filter(push=OuterRef("pk")).order_by("id").values("provider")[:1]
    first_meant = Coalesce(Subquery(first_tried), NullIf(F("fallback_from"), Value("")), F("provider"))
    return Case(When(sent_at__isnull=False, then=TAKEN_BY), default=first_meant)
