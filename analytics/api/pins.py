"""The provider that a technician has pinned at a site, and the one that the numbers suggest."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import fastest
from analytics.api import asking, shapes
from analytics.ranking import Ranked
from delivery import clocks, pins
from delivery.api import answers, reach
from delivery.api.callers import caller
from delivery.api.errors import Conflict, Unprocessable
from delivery.api.fields import iso
from delivery.models import Site, SitePin
from delivery.models.channel import PROVIDER_CHOICES
from delivery.pins import NotPinned
from delivery.providers import canonical_name

PROVIDERS = [name for name, _ in PROVIDER_CHOICES]
SUGGESTION = answers.shape("Suggestion", provider=answers.text(), why=answers.text())
PIN = answers.shape(
    "SitePin",
    site=answers.text(),
    provider=shapes.maybe(),
    pinned_by=shapes.maybe(),
    pinned_at=answers.moment(),
    suggested=serializers.BooleanField(help_text="It was the fastest when it was pinned."),
    suggestion=SUGGESTION,
)


class PinSerializer(serializers.Serializer[Any]):
    """Either of the two."""

    provider = serializers.CharField(max_length=20, required=False)
    suggestion = serializers.BooleanField(required=False, default=False, help_text="Pin what is suggested.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("provider" in attrs) == attrs["suggestion"]:
            raise serializers.ValidationError({"provider": ["Name one, or say `suggestion`: true"]})
        return attrs


class PinView(asking.NumbersView):
    """`/api/v1/analytics/sites/{site_id}/pin`: `GET` reads it, `PUT` sets it, `DELETE` takes it back.

    A pinned provider's channels come first at every device of the site, also at those that register later. Without a
    pin each device's own ranks count. Asking twice changes nothing.
    """

    scope_write = "devices:write"

    @extend_schema(responses=PIN)
    def get(self, request: Request, site_id: str) -> Response:
        return _answer(_site(request, site_id))

    @extend_schema(request=PinSerializer, responses=PIN)
    def put(self, request: Request, site_id: str) -> Response:
        site = _site(request, site_id)
        asked = PinSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        provider, why = _wanted(site, asked.validated_data)
        pinned = pins.pin(site, provider, by=caller(request).name, now=clocks.db_now(), suggested=bool(why), why=why)
        if isinstance(pinned, NotPinned):
            raise Conflict(pinned.value)
        return _answer(site)

    @extend_schema(responses=PIN)
    def delete(self, request: Request, site_id: str) -> Response:
        site = _site(request, site_id)
        pins.unpin(site, by=caller(request).name)
        return _answer(site)


def _site(request: Request, site_id: str) -> Site:
    """404 for a site that is not there, or not the caller's."""
    return get_object_or_404(reach.sites(caller(request)), site_id=site_id.replace("\x00", ""))


def _wanted(site: Site, asked: dict[str, Any]) -> tuple[str, str]:
    """The provider to pin, and what speaks for it where it is the suggested one."""
    if asked["suggestion"]:
        suggestion = fastest.of_site(site.site_id, clocks.db_now()).suggestion
        if suggestion is None:
            raise Conflict("Nothing is suggested: too few messages to compare, or it is pinned already")
        return suggestion.provider, suggestion.why
    provider = canonical_name(asked["provider"])
    if provider not in PROVIDERS:
        raise Unprocessable({"provider": [f"One of {', '.join(PROVIDERS)}"]})
    return provider, ""


def _answer(site: Site) -> Response:
    place = fastest.of_site(site.site_id, clocks.db_now())
    return Response({"site": site.site_id, **_pin(place.pin), "suggestion": _suggested(place.suggestion)})


def _pin(pin: SitePin | None) -> dict[str, Any]:
    if pin is None:
        return {"provider": None, "pinned_by": None, "pinned_at": None, "suggested": False}
    return {
        "provider": pin.provider,
        "pinned_by": pin.pinned_by,
        "pinned_at": iso(pin.pinned_at),
        "suggested": pin.suggested,
    }


def _suggested(suggestion: Ranked | None) -> dict[str, str] | None:
    return None if suggestion is None else {"provider": suggestion.provider, "why": suggestion.why}
