"""How many messages a credential may send now. A row behind a closed gate waits unclaimed and uses up no attempt."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.cache import caches

from delivery import breaker
from delivery.models import GateSpan, ProviderState
from delivery.models.alert import Alert
from delivery.models.gate_span import Trouble
from delivery.models.provider_state import NOT_CLOSED
from delivery.outcomes import Outcome, OutcomeKind

log = logging.getLogger(__name__)

LONG_CLOSED = timedelta(seconds=30)
"""A gate that has been closed for longer sends new messages to their next channel."""
NOBODY_PROBES = timedelta(seconds=5)
"""A gate whose wait ended this long ago without a probe has nothing behind it that could be one."""
MISCONFIGURED_WAIT_S = 60.0
SLOWEST_PER_S = 1.0
FASTER_EVERY_S = 30.0
DOUBLINGS = 14
"""A slowed rate that has doubled so often is no limit any more: even one a second is over 10,000 by then."""

_windows: dict[tuple[str, str], breaker.FailureWindow] = {}
_sent_rates: dict[tuple[str, str], tuple[float, int]] = {}
_seen: dict[tuple[str, str], ProviderState | None] = {}
"""Each credential's state as this process saw it when it last asked for leave."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave to send this many messages; a probe is one message that finds out whether the provider is back."""

    count: int
    probe: bool = False


def leave(provider: str, credential: str, want: int, now: datetime, full_per_s: float | None = None) -> Pass:
    """How many of `want` messages may go now; `full_per_s` is the credential's own limit."""
    state = ProviderState.objects.filter(provider=provider, credential=credential).first()
    _see((provider, credential), state)
    if state is None:
        return _within(provider, credential, want, full_per_s, now)
    if state.state in NOT_CLOSED:
        probing = ProviderState.objects.filter(pk=state.pk).take_probe(
            now=now, apart=timedelta(seconds=breaker.PROBE_APART_S)
        )
        return Pass(min(1, want), probe=True) if probing else Pass(0)
    rate = min((limit for limit in (_slowed(state, now), full_per_s) if limit is not None), default=None)
    if state.recovering_since is not None:
        rate = breaker.climbing_rate_per_s((now - state.recovering_since).total_seconds(), rate)
    return _within(provider, credential, want, rate, now)


def _see(key: tuple[str, str], state: ProviderState | None) -> None:
    """Once a gate has opened again, whoever opened it, failures from before say nothing any more."""
    before = _seen.get(key)
    opened_at = state.recovering_since if state is not None else None
    if opened_at is not None and (before is None or before.recovering_since != opened_at):
        _windows.pop(key, None)
    _seen[key] = state


def seen(provider: str, credential: str) -> ProviderState | None:
    """The credential's state at the start of this process's present batch; None where it has none."""
    return _seen.get((provider, credential))


def is_closed(provider: str, credential: str) -> bool:
    """Whether only probes may be sent now."""
    return ProviderState.objects.filter(provider=provider, credential=credential, state__in=NOT_CLOSED).exists()


def held_back(now: datetime) -> frozenset[tuple[str, str]]:
    """The credentials that may not send at full speed: closed, climbing back, or slowed by their provider."""
    return frozenset((state.provider, state.credential) for state in ProviderState.objects.all() if _slow(state, now))


def _slow(state: ProviderState, now: datetime) -> bool:
    climbing = state.recovering_since is not None and (now - state.recovering_since).total_seconds() < breaker.CLIMB_S
    return state.state in NOT_CLOSED or climbing or _slowed(state, now) is not None


def closed() -> frozenset[tuple[str, str]]:
    """The credentials that only probes may use now."""
    return frozenset(ProviderState.objects.filter(state__in=NOT_CLOSED).values_list("provider", "credential"))


def long_closed(now: datetime) -> frozenset[tuple[str, str]]:
    """The credentials behind which nothing should be queued up any more.

    Not those that nobody probes: only a message can find out that the provider is back.
    """
    found = ProviderState.objects.filter(
        state__in=NOT_CLOSED, opened_at__lte=now - LONG_CLOSED, until__gt=now - NOBODY_PROBES
    )
    return frozenset(found.values_list("provider", "credential"))


def learn(provider: str, credential: str, outcomes: Sequence[Outcome], now: datetime) -> None:
    """What these outcomes say about the credential as a whole: open, close or slow its gate.

    Where all is well it asks the database nothing.
    """
    if not outcomes:
        return
    key = (provider, credential)
    misconfigured = [outcome for outcome in outcomes if outcome.kind is OutcomeKind.MISCONFIGURED]
    throttled = [outcome for outcome in outcomes if outcome.kind is OutcomeKind.THROTTLED]
    failed = [outcome for outcome in outcomes if outcome.kind is OutcomeKind.RETRY and not outcome.of_address]
    answered = len(outcomes) - len(failed) - len(misconfigured)
    window = _windows.setdefault(key, breaker.FailureWindow())
    window.note(failed=len(failed), total=len(outcomes), at_s=time.monotonic())
    state = _seen.get(key)
    if misconfigured:
        why = misconfigured[0].detail or misconfigured[0].code
        pause(provider, credential, why=why, now=now, seconds=MISCONFIGURED_WAIT_S, trouble=Trouble.MISCONFIGURED)
        Alert.objects.open_or_repeat("misconfigured", f"{provider}/{credential}", why, now, provider=provider)
    elif state is not None and state.state in NOT_CLOSED:
        _after_probe(state, failed, answered, now, window)
    elif window.broken():
        asked_s = [outcome.retry_after_s for outcome in failed if outcome.retry_after_s]
        wait_s = breaker.wait_s(0, asked_s)
        pause(provider, credential, why=_codes(failed), now=now, seconds=wait_s)
        log.warning("breaker opened", extra={"provider": provider, "credential": credential, "why": _codes(failed)})
    _note_rate(key, len(outcomes))
    if throttled:
        _slow_down(key, throttled, now)


def pause(
    provider: str, credential: str, *, why: str, now: datetime, seconds: float, trouble: Trouble = Trouble.FAILING
) -> None:
    """Send nothing with this credential for a while."""
    ProviderState.objects.of(provider, credential).open(until=now + timedelta(seconds=seconds), why=why, now=now)
    GateSpan.objects.note(provider, credential, trouble, why=why, now=now)


def _after_probe(
    state: ProviderState, failed: Sequence[Outcome], answered: int, now: datetime, window: breaker.FailureWindow
) -> None:
    """A probe was answered: sending again. Or not: a longer wait."""
    row = ProviderState.objects.filter(pk=state.pk)
    if answered:
        if row.close(now):
            GateSpan.objects.end(state.provider, state.credential, now)
            Alert.objects.close("misconfigured", f"{state.provider}/{state.credential}", now)
            log.warning("breaker closed", extra={"provider": state.provider, "credential": state.credential})
        window.forget()
    else:
        asked_s = [outcome.retry_after_s for outcome in failed if outcome.retry_after_s]
        wait_s = breaker.wait_s(state.opened_times, asked_s)
        row.open(until=now + timedelta(seconds=wait_s), why=_codes(failed), now=now)
        GateSpan.objects.note(state.provider, state.credential, Trouble.FAILING, why=_codes(failed), now=now)


def _slow_down(key: tuple[str, str], throttled: Sequence[Outcome], now: datetime) -> None:
    """Half of what this process sends, for every process. The message itself waits for as long as it was told."""
    rate_per_s = max(SLOWEST_PER_S, _rate(key) * settings.SEND_PROCESSES / 2)
    ProviderState.objects.of(*key).slow_down(rate_per_s, now=now, keep_since=now - timedelta(seconds=FASTER_EVERY_S))
    GateSpan.objects.note(*key, Trouble.THROTTLED, why=_codes(throttled), now=now)
    log.warning("slowed down", extra={"provider": key[0], "credential": key[1], "why": _codes(throttled)})


def _slowed(state: ProviderState, now: datetime) -> float | None:
    """The rate left after a throttle: it doubles every 30 s until it is no limit any more."""
    if state.rate_per_s is None or state.slowed_at is None:
        return state.rate_per_s
    doubled = (now - state.slowed_at).total_seconds() / FASTER_EVERY_S
    return state.rate_per_s * 2.0**doubled if doubled < DOUBLINGS else None


def _within(provider: str, credential: str, want: int, rate_per_s: float | None, now: datetime) -> Pass:
    """Take from the credential's bucket of this second: shared by all processes, or a local share of it."""
    if rate_per_s is None:
        return Pass(want)
    key = f"gate:{provider}:{credential}:{int(now.timestamp())}"
    try:
        taken = _count("default", key, want)
        most = max(1.0, rate_per_s)
    except Exception as error:  # noqa: BLE001  (each cache has errors of its own; all mean that it is away)
        log.warning("shared bucket away", extra={"why": type(error).__name__})
        taken = _count("local", key, want)
        most = max(1.0, rate_per_s / settings.SEND_PROCESSES)
    return Pass(max(0, min(want, int(most) - (taken - want))))


def _count(cache: str, key: str, want: int) -> int:
    caches[cache].add(key, 0, timeout=5)
    return int(caches[cache].incr(key, want))


def _note_rate(key: tuple[str, str], count: int) -> None:
    since_s, seen = _sent_rates.get(key, (time.monotonic(), 0))
    if time.monotonic() - since_s > breaker.WINDOW_S:
        since_s, seen = time.monotonic() - 1.0, 0
    _sent_rates[key] = (since_s, seen + count)


def _rate(key: tuple[str, str]) -> float:
    since_s, seen = _sent_rates.get(key, (time.monotonic(), 0))
    return seen / max(1.0, time.monotonic() - since_s)


def _codes(outcomes: Sequence[Outcome]) -> str:
    return ", ".join(sorted({outcome.code for outcome in outcomes}))[:200]
