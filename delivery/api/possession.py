"""An address of another owner: prove that it is yours by echoing what is pushed to it."""

from collections.abc import Callable
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import APIException, Throttled

from delivery import challenges, channels, clocks
from delivery.api import throttles
from delivery.api.base import ApiView
from delivery.api.callers import Caller
from delivery.api.errors import Conflict, Unprocessable
from delivery.api.fields import iso
from delivery.api.refusals import not_registered
from delivery.models import AddressChallenge

ASKED = (
    "This address is registered already. If it is yours, you receive a code there as data.challenge. Repeat this "
    "request within 10 minutes, with challenge_id and the code as challenge"
)
Attempt = Callable[[AddressChallenge | None], channels.Registered | channels.NotRegistered]
"""One whole registration in its own transaction, with the challenge that was answered, if one was."""


class PossessionSerializer(serializers.Serializer[Any]):
    """What every registration may carry as well."""

    challenge_id = serializers.UUIDField(required=False, allow_null=True)
    challenge = serializers.CharField(max_length=200, required=False, allow_null=True, trim_whitespace=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs.get("challenge_id") is None) != (attrs.get("challenge") is None):
            raise serializers.ValidationError("challenge_id and challenge go together")
        return attrs


def register(
    view: ApiView, who: Caller, new: channels.Registration, said: dict[str, Any], attempt: Attempt
) -> channels.Registered:
    """Register; where the address is another owner's, with the answer to a challenge, else a new one is offered.

    The answer is looked at only where it is needed: who repeats a request that succeeded gets the same answer again.
    """
    made = attempt(None)
    if isinstance(made, channels.NotRegistered) and said.get("challenge") is not None:
        answered = _answered(who, new, said)
        made = attempt(answered)  # without an answer too: the same request may have won at this moment
        if answered is None and isinstance(made, channels.NotRegistered):
            raise Unprocessable({"challenge": ["Wrong, expired or used up. Without it you are given a new one"]})
    if isinstance(made, channels.NotRegistered):
        raise _offer(view, who, new, made)
    return made


def _answered(who: Caller, new: channels.Registration, said: dict[str, Any]) -> AddressChallenge | None:
    return challenges.answered(
        said["challenge_id"],
        said["challenge"],
        provider=new.provider,
        address=new.address,
        requested_by=who.name,
        now=clocks.db_now(),
    )


def _offer(view: ApiView, who: Caller, new: channels.Registration, refusal: channels.NotRegistered) -> APIException:
    """The same answer whoever the owner is."""
    wait_s = throttles.spend("challenge", address=view.address(), credential=who.name)
    if wait_s is not None:
        return Throttled(wait_s)
    offered = challenges.offer(new.provider, new.address, requested_by=who.name, now=clocks.db_now())
    match offered:
        case None:
            return not_registered(refusal)
        case challenges.TooOften():
            return Throttled(offered.wait_s)
        case AddressChallenge():
            return Conflict({"message": ASKED, "challenge_id": str(offered.pk), "expires_at": iso(offered.expires_at)})
