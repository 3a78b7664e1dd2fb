"""What orders and acks must look like. Unknown keys and what is not built yet are refused, never ignored."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.validators import URLValidator
from rest_framework import serializers

from delivery.addresses import provider_names
from delivery.priority import PRIORITY_WORDS
from delivery.providers import canonical_name

TITLE_LENGTH = 200
BODY_LENGTH = 500
LIST_LENGTH = 10_000


class Strict(serializers.Serializer[Any]):
    """Refuses keys that it does not know, and says of `later` that they are not supported yet."""

    later: ClassVar[tuple[str, ...]] = ()

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            strange = {
                key: ["not supported yet" if key in self.later else "unknown key"]
                for key in data
                if key not in self.fields
            }
            if strange:
                raise serializers.ValidationError(strange)
        return super().to_internal_value(data)


class Names(serializers.ListField):
    child = serializers.CharField(max_length=100)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=LIST_LENGTH, required=False, default=list, **kwargs)


class TargetSerializer(Strict):
    sites = Names()
    segments = Names()
    devices = Names()
    users = serializers.ListField(
        child=serializers.IntegerField(min_value=1), max_length=LIST_LENGTH, required=False, default=list
    )
    all = serializers.BooleanField(required=False, default=False)


class ActionSerializer(Strict):
    """A button under what is shown; with a `url` it opens that, where the platform can."""

    action = serializers.CharField(max_length=64)
    title = serializers.CharField(max_length=64)
    icon = serializers.CharField(max_length=500, required=False)
    url = serializers.CharField(max_length=500, required=False, validators=[URLValidator(schemes=["http", "https"])])


class ContentSerializer(Strict):
    """What a device shows and reads."""

    title = serializers.CharField(max_length=TITLE_LENGTH, required=False, allow_blank=True, default="")
    body = serializers.CharField(max_length=BODY_LENGTH, required=False, allow_blank=True, default="")
    data = serializers.DictField(required=False, default=dict)  # type: ignore[assignment]
    priority = serializers.ChoiceField(choices=PRIORITY_WORDS, required=False, default="normal")
    badge = serializers.IntegerField(min_value=0, max_value=99_999, required=False)
    sound = serializers.CharField(max_length=100, required=False)
    icon = serializers.CharField(max_length=500, required=False)
    image = serializers.CharField(max_length=500, required=False)
    subtitle = serializers.CharField(max_length=TITLE_LENGTH, required=False)
    category = serializers.CharField(max_length=100, required=False)
    thread_id = serializers.CharField(max_length=64, required=False)
    tag = serializers.CharField(max_length=64, required=False)
    data_only = serializers.BooleanField(required=False)
    wake = serializers.BooleanField(required=False)
    actions = serializers.ListField(child=ActionSerializer(), max_length=5, required=False)
    platforms = serializers.DictField(child=serializers.DictField(), required=False)

    def validate_platforms(self, platforms: dict[str, Any]) -> dict[str, Any]:
        """By provider, in the names of today."""
        named = {canonical_name(name): said for name, said in platforms.items()}
        strange = sorted(set(named) - provider_names())
        if strange:
            raise serializers.ValidationError(f"no such provider: {', '.join(strange)[:200]}")
        return named


class PushSerializer(ContentSerializer):
    later = ("fallback_after_s",)

    config_url = serializers.CharField(max_length=2000, required=False)
    version = serializers.CharField(max_length=100, required=False)
    ttl_seconds = serializers.IntegerField(min_value=1, max_value=2_419_200, required=False)
    collapse_key = serializers.CharField(max_length=64, required=False, default="")


class JobSerializer(Strict):
    later = ("template", "context", "scheduled_for", "rollout", "dry_run")

    name = serializers.CharField(max_length=200)
    target = TargetSerializer()
    push_notification = PushSerializer()


class SendSerializer(ContentSerializer):
    """One address or one device."""

    platform = serializers.CharField(max_length=30, required=False)
    device_token = serializers.CharField(max_length=8000, required=False)
    device_id = serializers.CharField(max_length=100, required=False)
    title = serializers.CharField(max_length=TITLE_LENGTH)
    body = serializers.CharField(max_length=BODY_LENGTH)
    ttl = serializers.IntegerField(min_value=1, max_value=2_419_200, required=False, default=86_400)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("device_id" in attrs) == ("device_token" in attrs):
            raise serializers.ValidationError("Give either device_id, or platform and device_token")
        if "device_token" in attrs and "platform" not in attrs:
            raise serializers.ValidationError({"platform": ["is required with device_token"]})
        return attrs


class BulkSerializer(ContentSerializer):
    platform = serializers.CharField(max_length=30)
    device_tokens = serializers.ListField(child=serializers.CharField(max_length=8000), min_length=1, max_length=1000)
    title = serializers.CharField(max_length=TITLE_LENGTH)
    body = serializers.CharField(max_length=BODY_LENGTH)
    ttl = serializers.IntegerField(min_value=1, max_value=2_419_200, required=False, default=86_400)


class SiteJobSerializer(Strict):
    action = serializers.CharField(max_length=200, required=False, default="Update POS payment config")
    description = serializers.CharField(max_length=BODY_LENGTH, required=False, allow_blank=True, default="")
    config_url = serializers.CharField(max_length=2000, required=False)
    config_version = serializers.CharField(max_length=100, required=False)
    priority = serializers.ChoiceField(choices=PRIORITY_WORDS, required=False, default="high")
    device_id = serializers.CharField(max_length=100, required=False)


class AgentPushSerializer(serializers.Serializer[Any]):
    """Any object: what it does not know it passes over, because agents in the field send more."""

    title = serializers.CharField(max_length=TITLE_LENGTH, required=False, allow_blank=True, default="")
    body = serializers.CharField(max_length=BODY_LENGTH, required=False, allow_blank=True, default="")
    message = serializers.CharField(max_length=BODY_LENGTH, required=False, allow_blank=True, default="")
    data = serializers.DictField(required=False, default=dict)  # type: ignore[assignment]
    priority = serializers.ChoiceField(choices=PRIORITY_WORDS, required=False, default="normal")
