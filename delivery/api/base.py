"""What every view of the API shares: its limits, and who may call."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, NotAuthenticated, Throttled
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from delivery.api import refused, throttles
from delivery.api.callers import Bearer, DeviceKey, Session
from delivery.api.parsing import MAX_BODY_BYTES, MAX_KEYS
from delivery.api.permissions import IsCaller, IsDevice


class LengthRequired(APIException):
    status_code = 411
    default_detail = "Send the body with a Content-Length"
    default_code = "length_required"


class AlwaysJson(DefaultContentNegotiation):
    """An agent that says it would rather have HTML still wants its answer."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


class ApiView(APIView):
    """Open to all. `rate` names its limit in throttles.py; batches may raise the limits of the body."""

    rate: ClassVar[str] = "anonymous"
    max_body_bytes: ClassVar[int] = MAX_BODY_BYTES
    max_keys: ClassVar[int] = MAX_KEYS
    throttle_classes = (throttles.RateLimit,)
    content_negotiation_class = AlwaysJson

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """A chunked body would be taken for an empty one."""
        if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "") and not request.META.get("CONTENT_LENGTH"):
            raise LengthRequired
        super().initial(request, *args, **kwargs)

    def get_authenticate_header(self, request: Request) -> str:
        """A challenge always goes with a refusal; without one DRF would turn 401 into 403."""
        return super().get_authenticate_header(request) or 'ApiKey realm="homepot"'

    def handle_exception(self, exc: Exception) -> Response:
        """Who is refused for want of proof too often is told to wait instead."""
        if isinstance(exc, AuthenticationFailed | NotAuthenticated):
            wait_s = throttles.spend("refused", address=self.address(), credential=None)
            if wait_s is not None:
                exc = Throttled(wait_s)
        return super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Response, *args: object, **kwargs: object) -> Response:
        refused.note(self.rate, response.status_code)
        return super().finalize_response(request, response, *args, **kwargs)

    def address(self) -> str | None:
        """Where the call came from, as far as NUM_PROXIES lets us believe it."""
        return throttles.RateLimit().get_ident(self.request)

    def spend(self, credential: str) -> None:
        """Count a call against a credential that stands in the body."""
        wait_s = throttles.spend(self.rate, address=None, credential=credential)
        if wait_s is not None:
            raise Throttled(wait_s)


class DeviceView(ApiView):
    """For a device, about itself: `calling_device(request)`."""

    rate = "default"
    authentication_classes = (DeviceKey,)
    permission_classes = (IsDevice,)


class CallerView(ApiView):
    """For persons, and for backends whose key holds the scope: `caller(request)`, reach.py."""

    rate = "default"
    scope_read: ClassVar[str | None] = None
    scope_write: ClassVar[str | None] = None
    authentication_classes: Sequence[type[BaseAuthentication]] = (Bearer, Session)
    permission_classes = (IsCaller,)


class AnyView(CallerView):
    """For a device as well as for persons and backends."""

    authentication_classes = (DeviceKey, Bearer, Session)
