"""How the generated documentation (`/api/schema/`) names the ways to prove who is calling."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class DeviceKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "delivery.api.callers.DeviceKey"
    name = ["deviceId", "deviceKey"]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        return [
            {"type": "apiKey", "in": "header", "name": "X-Device-ID"},
            {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        ]


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "delivery.api.callers.Bearer"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A person's token from /auth/token, a JWT of the configured issuer, or a backend's key.",
        }


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "delivery.api.callers.Session"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


class SessionByOriginScheme(SessionScheme):  # type: ignore[no-untyped-call]
    target_class = "delivery.api.callers.SessionByOrigin"
    name = "sessionByOrigin"
