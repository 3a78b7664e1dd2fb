"""A technician's word on a site's provider: its channels come first at every device there, until the pin is taken back.

Devices that register later follow it (channels.py). What a device declares still goes before it: routing.py.
"""

from datetime import datetime
from enum import Enum

from django.db import transaction

from delivery import ranks
from delivery.models import AuditLog, Channel, Site, SitePin


class NotPinned(Enum):
    NO_CHANNEL = "No device of this site has an active channel of this provider"


@transaction.atomic
def pin(
    site: Site, provider: str, *, by: str, now: datetime, suggested: bool = False, why: str = ""
) -> SitePin | NotPinned:
    """Let this provider come first at the site. A pin that is there is replaced; the same again changes nothing."""
    Site.objects.select_for_update().get(pk=site.pk)
    if not Channel.objects.usable().filter(device__site=site, provider=provider).exists():
        return NotPinned.NO_CHANNEL
    before = SitePin.objects.filter(site=site).first()
    if before is not None and before.provider == provider:
        return before
    pinned, _ = SitePin.objects.update_or_create(
        site=site,
        defaults={"provider": provider, "pinned_by": by[:150], "pinned_at": now, "suggested": suggested,
                  "why": why[:200]},
    )  # fmt: skip
    moved = ranks.settle_site(site.site_id)
    AuditLog.note(
        by, "pinned a provider", site, site.site_id, provider=provider, suggested=suggested, why=why,
        before=before.provider if before else None, channels=moved,
    )  # fmt: skip
    return pinned


@transaction.atomic
def unpin(site: Site, *, by: str) -> bool:
    """Each channel of the site at its own rank again. False where nothing was pinned."""
    Site.objects.select_for_update().get(pk=site.pk)
    pinned = SitePin.objects.filter(site=site).first()
    if pinned is None:
        return False
    pinned.delete()
    moved = ranks.settle_site(site.site_id)
    AuditLog.note(by, "unpinned a provider", site, site.site_id, provider=pinned.provider, channels=moved)
    return True
