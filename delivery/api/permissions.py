"""Who may call a view at all. What they then see of the record: reach.py."""

from typing import Any

from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from delivery.api.callers import MISSING_DEVICE_HEADERS, Caller, DeviceKey


class IsDevice(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, Caller) and request.auth.device is not None:
            return True
        raise NotAuthenticated(MISSING_DEVICE_HEADERS)


class IsCaller(BasePermission):
    """Anyone who proved something. A backend's key must hold the view's `scope_read` or, to write, `scope_write`."""

    message = "The key's scopes do not allow this"

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, Caller):
            takes_devices = DeviceKey in view.authentication_classes
            raise NotAuthenticated(MISSING_DEVICE_HEADERS if takes_devices else None)
        if request.auth.backend is None:
            return True
        reads = request.method in ("GET", "HEAD", "OPTIONS")
        scope = getattr(view, "scope_read" if reads else "scope_write", None)
        return scope is not None and scope in request.auth.backend.scopes
