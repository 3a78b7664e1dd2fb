"""Fields as strangers fill them in: whatever comes, a value or a sentence."""

import math
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from delivery import clocks
from delivery.models.device import DEVICE_ID_PATTERN


@extend_schema_field(OpenApiTypes.DATETIME)
class Moment(serializers.Field[datetime, Any, str, Any]):
    """An ISO-8601 time. `Z`, `+00:00` and no zone at all are the same instant."""

    default_error_messages = {"invalid": "Not a time such as 2026-11-21T12:30:00Z"}

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str) or len(data) > 40:
            self.fail("invalid")
        try:
            return clocks.read(data)
        except ValueError:
            self.fail("invalid")

    def to_representation(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat()


class Number(serializers.FloatField):
    """A finite JSON number: neither text nor true."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float) or not math.isfinite(data):
            self.fail("invalid")
        return super().to_internal_value(data)


class DeviceIdField(serializers.RegexField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(DEVICE_ID_PATTERN, trim_whitespace=False, **kwargs)


class LineField(serializers.CharField):
    """Text without line breaks: it may end up in a header or a list."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if any(ord(character) < 32 or ord(character) == 127 for character in text):
            raise serializers.ValidationError("Control characters are not allowed")
        return text


class SmallJson(serializers.JSONField):
    """Any JSON, of a few thousand characters at most."""

    def __init__(self, *, max_chars: int = 4_000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_chars = max_chars

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        if len(str(value)) > self.max_chars:
            raise serializers.ValidationError(f"More than {self.max_chars} characters")
        return value


def iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
