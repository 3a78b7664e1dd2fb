"""Callers over real requests, and two sites with numbers."""

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from analytics import latency, rollups
from analytics.models import HourlyRollup, RollupState
from delivery import clocks
from delivery.models import Site
from tests.delivery.api.conftest import (
    anybody,
    as_customer,
    as_device,
    as_technician,
    customer,
    device,
    fresh_counters,
    make_device,
    other_site,
    person_client,
    site,
    technician,
)

__all__ = [
    "anybody", "as_customer", "as_device", "as_technician", "customer", "device", "fresh_counters",
    "make_device", "other_site", "person_client", "site", "technician",
]  # fmt: skip


@pytest.fixture
def as_admin(fresh_counters: None) -> APIClient:
    return person_client(User.objects.create_superuser("root"))


@pytest.fixture
def present(fresh_counters: None) -> datetime:
    """The present hour."""
    return rollups.hour_of(clocks.db_now())


def rollup(site: Site | None, hour: datetime, provider: str = "fcm", **fields: object) -> None:
    """Twenty messages, one in every state but delivered, the rest delivered in 100 to 1,400 ms."""
    took_ms = [100 * number for number in range(1, 15)]
    values: dict[str, object] = {
        "ordered": 20, "delivered": 14, "late": 1, "failed": 1, "expired": 1, "cancelled": 1, "skipped": 1,
        "handed_over": 17, "fallback": 2, "opened": 3, "clicked": 1, "skewed": 1,
        "latency": latency.histogram(took_ms), "latency_sum_ms": sum(took_ms), "latency_count": len(took_ms),
        "times": {"queue": latency.histogram([5] * 14)},
        "attempted": 20, "accepted": 17, "refused": {"retry": 2, "rejected": 1}, "retries": 3,
        "verdicts": {"too_late": 1, "uplink_down": 1, "cancelled": 1},
    }  # fmt: skip
    HourlyRollup.objects.create(hour=hour, site=site, provider=provider, **values | fields)
    RollupState.objects.update_or_create(hour=hour, defaults={"dirty": False, "looked_at": hour, "counted_at": hour})


@pytest.fixture
def counted(site: Site, other_site: Site, present: datetime) -> None:
    rollup(site, present)
    rollup(site, present - timedelta(hours=2), "mqtt")
    rollup(other_site, present)
    rollup(None, present)
