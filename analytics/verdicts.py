"""Step 9, pure: why a message was not delivered in time, from the evidence and nothing else.

Each rule names what it rests on. Where that is missing the verdict is `unknown`: a wrong cause costs a technician a
trip. What each verdict means and asks for: docs/verdicts.md.
"""

from datetime import datetime, timedelta
from typing import NamedTuple, assert_never

from analytics.evidence import Evidence, Gate, Presence, Tried
from delivery.models.channel import PROVIDER_CHOICES
from delivery.models.gate_span import Trouble
from delivery.models.push_log import INBOX, Status
from delivery.models.verdict import Verdict
from delivery.outcomes import OutcomeKind

TOO_SHORT = timedelta(seconds=2)
"""Handed over with less than this left, and most of its life spent waiting, it had no chance."""
HELD_BACK = 0.1
"""A gate that was shut for this share of a message's life held it back."""
MIN_OTHERS = 2
"""So many other devices must be silent, or without their messages, to speak of a site."""
MIN_FLEET = 20
"""So many devices of the fleet that are all silent mean that we could not hear them."""
MIN_ELSEWHERE = 5
"""So many messages at other sites, to speak of a provider."""
NOWHERE = 0.1
"""A provider that brings less than this share of what it accepts to anybody is down, whatever it answers."""
WORKS = 0.5
CLEARLY_LESS = 0.5
"""A site gets clearly less from a provider than others do: under half of their share."""

AWAY = {"disconnected", "tempconnected", "tempdisconnected"}
"""WNS: the device is not connected."""
NOBODY_LISTENS = "0x10"
"""MQTT: nobody subscribes to the device's topic."""
POISON = "poison"
CHANNEL_CLOSED = "channel_closed"
DROPPED = "dropped"
"""WNS: the device's system did not want it."""
NOT_OUR_ADDRESS = {"refused_url"}
NOT_OUR_SENDER = {"SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR", "http_403", "0x87"}
"""Rejections that are about whose address it is, not about what the message says."""
BAD_CONTENT = ("payload", "decrypt", "parse", "format")
"""A device that refuses a message with a code that holds one of these could not read it."""

NAMES = {**dict(PROVIDER_CHOICES), INBOX: "the inbox"}


class Judgement(NamedTuple):
    verdict: Verdict
    evidence: str
    """One sentence, without a full stop at the end of a name or time; at most 300 characters."""


def judge(found: Evidence) -> Judgement:
    """The cause, and the sentence that shows it."""
    verdict, sentence = _judge(found)
    return Judgement(verdict, sentence[:300])


def _judge(found: Evidence) -> tuple[Verdict, str]:
    if found.status == Status.CANCELLED:
        return Verdict.CANCELLED, f"It was called off ({found.code or 'cancelled'})."
    if found.status == Status.DELIVERED:
        return _late(found)
    if found.status == Status.FAILED and found.acked_at is not None:
        return _refused_by_device(found)
    if found.sent_at is None or _handed_over_too_late(found):
        return _never_accepted(found)
    return _accepted(found, found.sent_at)


def _late(found: Evidence) -> tuple[Verdict, str]:
    acked = f"it was confirmed {_span(found.acked_at, found.expires_at)} after its time was over"
    if found.arrived_at is not None and found.arrived_at <= found.expires_at:
        return Verdict.TOO_LATE, f"The device had it at {_at(found.arrived_at)}, in time, but {acked}."
    waited = f"of {_length(found.life)} it waited {_span(found.sent_at, found.created_at)} to be sent"
    return Verdict.TOO_LATE, f"{_capital(acked)}; {waited if found.sent_at else 'we never saw it accepted'}."


def _refused_by_device(found: Evidence) -> tuple[Verdict, str]:
    content = any(word in found.code.lower() for word in BAD_CONTENT)
    verdict = Verdict.PAYLOAD_REFUSED if content else Verdict.DENIED_ON_DEVICE
    return verdict, f"The device got it and refused it: {found.code}."


def _handed_over_too_late(found: Evidence) -> bool:
    return found.left < TOO_SHORT and found.left < found.life / 2


# --- No provider had it ----------------------------------------------------------------------------------------------
def _never_accepted(found: Evidence) -> tuple[Verdict, str]:
    """What stood in the way; `found.sent_at` is set where a provider took it in its last moments."""
    if found.code == POISON:
        return Verdict.NEVER_HANDED_OVER, "Each worker that held it alone died, three times: no provider was asked."
    if found.gate is not None and _is_ours(found.gate, found.tried):
        return _held_back(found.gate)
    if found.tried is not None:
        return _refused(found, found.tried)
    if found.code == CHANNEL_CLOSED or (found.provider == INBOX and found.gone):
        said = f": its provider said {found.gone}" if found.gone else ""
        return Verdict.ADDRESS_GONE, f"The device had no address that is in use{said}."
    if found.gate is not None and found.gate.share >= HELD_BACK:
        return _held_back(found.gate)
    if found.provider == INBOX:
        return _not_fetched(found)
    if not found.configured:
        return Verdict.OUR_CREDENTIAL, f"The credential for {_name(found.provider)} cannot be used: nothing is sent."
    if found.holder_died:
        return Verdict.NEVER_HANDED_OVER, "The worker that held it died, and none tried it again in time."
    if found.sent_at is not None:
        late = f"{_length(found.left)} before its time was over"
        return Verdict.NEVER_HANDED_OVER, f"Nothing held it back, but a worker took it only {late}."
    return (
        Verdict.NEVER_HANDED_OVER,
        f"It was due for {_length(found.life)} and no worker took it: no attempt was made.",
    )


def _is_ours(gate: Gate, tried: Tried | None) -> bool:
    """A credential that was paused over answers that blame addresses: the guard found the mistake to be ours."""
    blamed = tried is not None and tried.outcome == OutcomeKind.ADDRESS_GONE.value
    return blamed and gate.trouble == Trouble.MISCONFIGURED


def _held_back(gate: Gate) -> tuple[Verdict, str]:
    shut = f"for {gate.share:.0%} of its life"
    match Trouble(gate.trouble):
        case Trouble.FAILING:
            return Verdict.PROVIDER_DOWN, f"{_name(gate.provider)} failed ({gate.why}): nothing could be sent {shut}."
        case Trouble.MISCONFIGURED:
            text = f"{_name(gate.provider)} refused our credential ({gate.why}): nothing could be sent {shut}."
            return Verdict.OUR_CREDENTIAL, text
        case Trouble.THROTTLED:
            return Verdict.THROTTLED, f"{_name(gate.provider)} asked for less ({gate.why}): sending was slowed {shut}."
        case trouble:
            assert_never(trouble)


def _refused(found: Evidence, tried: Tried) -> tuple[Verdict, str]:
    again = f", after {tried.times} attempts" if tried.times > 1 else ""
    said = f"{_name(tried.provider)} answered {tried.code or tried.outcome}{again}"
    match OutcomeKind(tried.outcome):
        case OutcomeKind.ADDRESS_GONE:
            return Verdict.ADDRESS_GONE, f"{said}: it does not know the device's address any more."
        case OutcomeKind.MISCONFIGURED:
            return Verdict.OUR_CREDENTIAL, f"{said}: it does not accept our credential."
        case OutcomeKind.THROTTLED:
            return Verdict.THROTTLED, f"{said}: we were sending too fast."
        case OutcomeKind.RETRY if tried.code == "no_answer":
            return Verdict.PROVIDER_DOWN, f"{_name(tried.provider)} gave no answer{again}."
        case OutcomeKind.RETRY:
            return Verdict.PROVIDER_DOWN, f"{said}."
        case OutcomeKind.REJECTED:
            return _rejected(found, tried, said)
        case OutcomeKind.ACCEPTED:
            return Verdict.UNKNOWN, f"{said}, and no acceptance is on record."
        case kind:
            assert_never(kind)


def _rejected(found: Evidence, tried: Tried, said: str) -> tuple[Verdict, str]:
    if _word(tried.code) in NOT_OUR_SENDER:
        return Verdict.OUR_CREDENTIAL, f"{said}: the address belongs to another project or app than our credential."
    if tried.code in NOT_OUR_ADDRESS:
        return Verdict.ADDRESS_GONE, f"{said}: the address is none that may be sent to."
    if tried.code == DROPPED:
        if found.presence is Presence.OFFLINE:
            return Verdict.DEVICE_OFFLINE, f"{said}, and {_last_heard(found)}."
        return Verdict.DENIED_ON_DEVICE, f"{said}: the device's system did not want it."
    return Verdict.PAYLOAD_REFUSED, f"{said}: it does not take this message."


def _not_fetched(found: Evidence) -> tuple[Verdict, str]:
    """It waited in the inbox, and no push could ring for it."""
    match found.presence:
        case Presence.ONLINE:
            return Verdict.DENIED_ON_DEVICE, "The device was online and did not fetch it from its inbox."
        case Presence.OFFLINE:
            return _offline(found)
        case Presence.NOT_YET_KNOWN:
            return Verdict.UNKNOWN, _too_soon(found)
        case Presence.NEVER_HEARD:
            return _offline(found) if _site_is_silent(found) else _never_heard("It waited in the inbox")
        case presence:
            assert_never(presence)


# --- A provider had it, the device did not confirm -------------------------------------------------------------------
def _accepted(found: Evidence, sent_at: datetime) -> tuple[Verdict, str]:
    noted = f" and noted: {found.accepted_code}" if found.accepted_code else ""
    took = f"{_name(found.provider)} took it at {_at(sent_at)}{noted}"
    if found.provider == INBOX:
        return Verdict.DENIED_ON_DEVICE, f"The device fetched it at {_at(sent_at)} and never confirmed it."
    match found.presence:
        case Presence.OFFLINE:
            return _offline(found, took)
        case Presence.NOT_YET_KNOWN:
            return Verdict.UNKNOWN, f"{took}; {_too_soon(found)}"
        case Presence.NEVER_HEARD:
            away = _site_is_silent(found) or _word(found.accepted_code) in (*AWAY, NOBODY_LISTENS)
            return _offline(found, took) if away else _never_heard(took)
        case Presence.ONLINE:
            return _online(found, took)
        case presence:
            assert_never(presence)


def _offline(found: Evidence, took: str = "It waited") -> tuple[Verdict, str]:
    """The device was not there: alone, or with all of its site."""
    others, silent = found.others, f"{took}, but {_last_heard(found)}"
    if found.fleet.known >= MIN_FLEET and not found.fleet.online:
        text = f"{silent}; so was none of {found.fleet.known} devices of all sites: our server heard nobody then."
        return Verdict.UNKNOWN, text
    if others.online:
        heard = f"{others.online} of {others.known} other devices of the site were heard"
        return Verdict.DEVICE_OFFLINE, f"{silent}; {heard}."
    if others.not_yet_known:
        return Verdict.UNKNOWN, f"{silent}; whether others of the site were there is not known yet."
    if others.known >= MIN_OTHERS:
        return Verdict.UPLINK_DOWN, f"{silent}, and none of the {others.known} other devices of the site was there."
    return Verdict.DEVICE_OFFLINE, f"{silent}; the site has no other devices to compare it with."


def _site_is_silent(found: Evidence) -> bool:
    others = found.others
    return others.known >= MIN_OTHERS and not others.online and not others.not_yet_known


def _never_heard(took: str) -> tuple[Verdict, str]:
    return Verdict.UNKNOWN, f"{took}; the device sends no heartbeats, so where it was is not known."


def _online(found: Evidence, took: str) -> tuple[Verdict, str]:
    """The device was there and got nothing: its provider, its site's network, or itself."""
    here, elsewhere, by = found.here, found.elsewhere, _name(found.provider)
    compared = elsewhere.taken >= MIN_ELSEWHERE
    if compared and elsewhere.share < NOWHERE and here.share < NOWHERE:
        some = f"{elsewhere.acked + here.acked} of {elsewhere.taken + here.taken}"
        return Verdict.PROVIDER_DOWN, f"{took}, but {some} other messages of that time arrived anywhere through {by}."
    there = f"{took}, and the device was online"
    if here.taken < MIN_OTHERS and not here.acked:
        text = f"{there}; too few other devices of the site were sent to through {by} to compare it with."
        return Verdict.UNKNOWN, text
    others = f"{here.acked} of {here.taken} messages to others of the site arrived through {by}"
    if here.share >= CLEARLY_LESS * (elsewhere.share if compared else 1.0):
        return Verdict.DENIED_ON_DEVICE, f"{there}; {others}, but this one was not confirmed."
    if compared and elsewhere.share >= WORKS:
        return Verdict.BLOCKED_AT_SITE, f"{there}; {others}, at other sites {elsewhere.share:.0%}."
    return Verdict.UNKNOWN, f"{there}; {others}, and other sites do not tell whether {by} works."


# --- Words -----------------------------------------------------------------------------------------------------------
def _last_heard(found: Evidence) -> str:
    if found.seen is None:
        return "the device was never heard"
    if found.seen.online_from > (found.sent_at or found.created_at):
        return f"the device came back only at {_at(found.seen.online_from)}"
    return f"the device was last heard at {_at(found.seen.last_seen)}"


def _too_soon(found: Evidence) -> str:
    return f"{_last_heard(found)}, and its next heartbeat may still come."


def _word(code: str) -> str:
    """MQTT's codes begin with their number."""
    return code.partition(" ")[0]


def _name(provider: str) -> str:
    return str(NAMES.get(provider, provider))


def _at(moment: datetime) -> str:
    return f"{moment:%H:%M:%S} UTC"


def _span(later: datetime | None, earlier: datetime | None) -> str:
    if later is None or earlier is None:
        return "an unknown time"
    return _length(later - earlier)


def _length(length: timedelta) -> str:
    seconds = max(0.0, length.total_seconds())
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.0f} h"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
