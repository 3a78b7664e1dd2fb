"""A person's bearer token for a name and a password."""

from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema, inline_serializer
from knox.models import AuthToken
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request
from rest_framework.response import Response

from delivery.api.base import ApiView


class SignInSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=500, trim_whitespace=False)


class TokenView(ApiView):
    """`POST /api/v1/auth/token`: a bearer token. Too many wrong passwords lock the name at that address for a while."""

    rate = "sign_in"

    @extend_schema(
        request=SignInSerializer,
        responses=inline_serializer("Token", {"token": serializers.CharField(), "name": serializers.CharField()}),
    )
    def post(self, request: Request) -> Response:
        given = SignInSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        http_request = request._request
        person = authenticate(
            http_request, username=given.validated_data["name"], password=given.validated_data["password"]
        )
        if _locked(http_request):
            raise Throttled(settings.AXES_COOLOFF_TIME * 3600)
        if person is None:
            raise AuthenticationFailed("Wrong name or password")
        _, token = AuthToken.objects.create(user=person)
        return Response({"token": token, "name": person.get_username()})


def _locked(request: HttpRequest) -> bool:
    """The lockout leaves a mark, from which its middleware would make a page of HTML: take it away."""
    locked = bool(getattr(request, "axes_locked_out", False))
    if locked:
        request.axes_locked_out = False  # type: ignore[attr-defined]
    return locked
