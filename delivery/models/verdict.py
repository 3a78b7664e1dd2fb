"""Why a message was not delivered in time: a closed vocabulary. The judging: analytics/verdicts.py."""

from django.db import models


class Verdict(models.TextChoices):
    """What each means, and what to do about it: docs/verdicts.md."""

    NEVER_HANDED_OVER = "never_handed_over", "never handed over"
    """No worker of ours asked a provider."""
    PROVIDER_DOWN = "provider_down", "provider refused or down"
    THROTTLED = "throttled", "throttled"
    OUR_CREDENTIAL = "our_credential", "our credential"
    ADDRESS_GONE = "address_gone", "address gone"
    PAYLOAD_REFUSED = "payload_refused", "payload refused"
    DEVICE_OFFLINE = "device_offline", "device offline"
    UPLINK_DOWN = "uplink_down", "site uplink down"
    BLOCKED_AT_SITE = "blocked_at_site", "blocked at the site"
    """This provider, at this site only."""
    DENIED_ON_DEVICE = "denied_on_device", "denied or broken on the device"
    TOO_LATE = "too_late", "too late"
    CANCELLED = "cancelled", "cancelled"
    UNKNOWN = "unknown", "unknown"
    """The evidence does not tell the causes apart."""
