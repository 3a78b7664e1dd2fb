"""Against what pages judge the numbers: the limits beyond which alerts open, too."""

from django.conf import settings

NOT_DELIVERED: float = settings.ALERT_SITE_FAILURE_RATE
"""Of what has ended: failed and expired."""
DELIVERY_RATE = 1 - NOT_DELIVERED
P95_MS: float = settings.ALERT_P95_MS
FALLBACK_RATE: float = settings.ALERT_FALLBACK_RATE
MARKED_OVER = 0.1
"""Above this share of failed and expired an hour is marked: what never arrived has no latency to show."""
