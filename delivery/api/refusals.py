"""What a step refused, as an answer."""

from rest_framework.exceptions import APIException, AuthenticationFailed, NotFound, PermissionDenied

from delivery.api.errors import BadRequest, Conflict
from delivery.channels import NotRegistered
from delivery.models import Device
from delivery.registration import NotProvisioned


def not_provisioned(refusal: NotProvisioned) -> APIException:
    match refusal:
        case NotProvisioned.NO_SITE:
            return NotFound("No such site")
        case NotProvisioned.WRONG_KEY:
            return AuthenticationFailed("Wrong bootstrap key")
        case NotProvisioned.NAME_TAKEN:
            return BadRequest("The site has a device of this name")


def not_registered(refusal: NotRegistered) -> APIException:
    return Conflict(refusal.value)


def unless_own(device: Device, device_id: str | None) -> None:
    """A device speaks for itself alone: 403 where the body names another."""
    if device_id is not None and device_id != device.device_id:
        raise PermissionDenied("The body names another device")
