"""The shapes of answers, for the generated documentation."""

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers


def shape(name: str, /, **fields: Any) -> Any:
    """An answer with these keys."""
    return inline_serializer(f"{name}Answer", fields)


def many(name: str, /, **fields: Any) -> Any:
    """A list of such objects."""
    return inline_serializer(f"{name}Item", fields, many=True)


def link() -> serializers.URLField:
    return serializers.URLField(allow_null=True)


def enveloped(name: str, /, **fields: Any) -> Any:
    """The agents' envelope: `{"status", "message", "data": {...}}`."""
    return shape(
        name,
        status=serializers.CharField(),
        message=serializers.CharField(),
        data=shape(f"{name}Data", **fields),
    )


def text() -> serializers.CharField:
    return serializers.CharField()


def count() -> serializers.IntegerField:
    return serializers.IntegerField()


def moment() -> serializers.DateTimeField:
    return serializers.DateTimeField(allow_null=True)
