"""The first steps, until all are done: a site, a device, a test push, its ack."""

from dataclasses import dataclass

from django.urls import reverse

from analytics.pages.asked import Asked


@dataclass(frozen=True, slots=True)
class Step:
    text: str
    done: bool
    how: str
    url: str


def steps(asked: Asked) -> list[Step]:
    """Each one look at an index."""
    devices = asked.devices
    device = devices.order_by("id").values_list("pk", flat=True).first()
    pushed = asked.ever.filter(ordered__gt=0).exists()
    device_page = reverse("admin:delivery_device_change", args=[device]) if device else ""
    return [
        Step("A site", asked.sites.exists(), "Add one, then issue its bootstrap key in the list of sites.",
             reverse("admin:delivery_site_add")),
        Step("A device", device is not None,
             "It comes in by itself, with the bootstrap key of its site: POST /api/v1/devices/bootstrap-provision.",
             reverse("admin:delivery_site_changelist")),
        Step("A test push", pushed, "The button “Send test push” stands on the page of each device.",
             device_page or reverse("admin:delivery_device_changelist")),
        Step("Its ack seen", pushed and asked.ever.filter(delivered__gt=0).exists(),
             "The device confirms with POST /api/v1/push/ack. Until then the message's page says where it is.",
             reverse("admin:delivery_pushnotificationlog_changelist")),
    ]  # fmt: skip
