"""Pure: what an alert most likely comes from, in one sentence, by comparing with what goes well elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass

from delivery.models.verdict import Verdict
from delivery.outcomes import OutcomeKind

ENOUGH = 5
"""Messages of one provider that ended, before its share at a site says something."""

OF_OUTCOMES = {
    OutcomeKind.RETRY.value: "the provider did not answer, or its servers failed",
    OutcomeKind.THROTTLED.value: "we send more than the provider takes",
    OutcomeKind.ADDRESS_GONE.value: "addresses that the provider does not know any more: devices do not register anew",
    OutcomeKind.REJECTED.value: "what was ordered: the provider refuses the message itself",
    OutcomeKind.MISCONFIGURED.value: "our credential, its project or its topic",
}

SAY_NOTHING = {Verdict.UNKNOWN, Verdict.CANCELLED}


@dataclass(frozen=True, slots=True)
class Ended:
    """Messages that have ended, without those that were called off or never to be sent."""

    missed: int
    """Failed or expired."""
    arrived: int

    @property
    def whole(self) -> int:
        return self.missed + self.arrived

    def is_bad(self, limit: float) -> bool:
        return self.whole >= ENOUGH and self.missed > limit * self.whole


def of_verdicts(verdicts: Mapping[str, int]) -> str:
    """What most messages were judged to be missed for; empty where no one cause is behind half of them."""
    judged = sum(verdicts.values())
    worst = max(verdicts, key=lambda verdict: verdicts[verdict], default="")
    if not worst or worst in SAY_NOTHING or 2 * verdicts[worst] < judged:
        return ""
    return f"{Verdict(worst).label.capitalize()}: so {verdicts[worst]} of {judged} messages were judged."


def of_site(here: Mapping[str, Ended], elsewhere: Mapping[str, Ended], *, limit: float) -> str:
    """By provider: at the site, and at all other sites together."""
    bad = sorted(provider for provider, ended in here.items() if ended.is_bad(limit))
    bad_elsewhere = [name for name in bad if name in elsewhere and elsewhere[name].is_bad(limit)]
    well = sorted(name for name, ended in here.items() if ended.whole >= ENOUGH and name not in bad)
    if bad_elsewhere:
        return f"{_listed(bad_elsewhere)}: other sites miss messages there, too."
    if bad and well:
        return f"{_listed(bad)} is blocked or broken at this site: messages by {_listed(well)} arrive here."
    if len(bad) > 1:
        return "The site's uplink, or its devices are off: every provider misses here, and elsewhere they do not."
    if bad:
        return f"The site's uplink, its devices, or {bad[0]} is blocked there: elsewhere {bad[0]} is well."
    return "Spread over providers with few messages each: look at the messages."


def of_errors(refused: Mapping[str, int]) -> str:
    """By outcome: how many attempts were not accepted."""
    if not refused:
        return ""
    worst, count = max(refused.items(), key=lambda item: item[1])
    return f"{count} of {sum(refused.values())} refusals are {worst}: {OF_OUTCOMES.get(worst, worst)}."


def of_slowness(p95_ms: float, handoff_p95_ms: float | None) -> str:
    if handoff_p95_ms is not None and handoff_p95_ms > p95_ms / 2:
        return f"The provider is slow to accept: {handoff_p95_ms / 1000:.1f} s for 95 of 100."
    return "The way from the provider to the devices: slow networks, or devices that sleep. The heatmap shows where."


def of_fallback(open_breakers: list[str], errors: Mapping[str, float]) -> str:
    """Credentials that are closed now, and the error rates of providers."""
    if open_breakers:
        return f"Closed for now: {_listed(sorted(open_breakers))}. Messages take the next channel."
    worst = max(errors, key=lambda name: errors[name], default=None)
    if worst is None or not errors[worst]:
        return "Channels that are gone: devices without an active channel of their first provider."
    return f"{worst} refuses the most: {errors[worst]:.1%} of its attempts."


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
