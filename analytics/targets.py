"""Against what the numbers are judged, on pages."""

DELIVERY_RATE = 0.95
P95_MS = 2_000
FALLBACK_RATE = 0.1
NOT_DELIVERED = 0.05
"""Of what has ended: failed and expired."""
MARKED_OVER = 0.1
"""Above this share of failed and expired an hour is marked: what never arrived has no latency to show."""
