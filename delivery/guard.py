"""The blast-radius guard: a mistake of ours must never cost a fleet its addresses.

An answer that an address is gone only parks its channel. The credential's window is judged after 20 sends or 60 s:
a few dead addresses are disabled; where over a tenth of all sends met the same answer, the fault is more likely ours,
so every parked channel is released, nothing is disabled, and a person is told. Until a batch's first message is
accepted few of its messages are in flight, so that such a fault is known after less than 50 of them.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from weakref import WeakSet

from django.db.models import Count

from delivery import gate
from delivery.models import Channel, ProviderState
from delivery.models.alert import Alert
from delivery.models.channel import ChannelState
from delivery.models.gate_span import Trouble
from delivery.outcomes import Outcome, OutcomeKind
from delivery.providers.base import Provider

log = logging.getLogger(__name__)

ENOUGH_SENDS = 20
LONGEST = timedelta(seconds=60)
SUSPECT_SHARE = 0.1
FEW = 2
"""So many dead addresses in a small window are no sign of a fault of ours, if others were accepted meanwhile."""
PAUSE_S = 60.0
ALERT = "guard_tripped"
REJECTED_ALERT = "payload_rejected"
QUIET = timedelta(hours=1)

_watching: set[tuple[str, str]] = set()
"""Credentials whose window this process opened, or found open, and has not yet found closed."""

_went_well: WeakSet[Provider] = WeakSet()
"""The providers of this process whose last batch had a message accepted. Changed settings make another provider."""


class Caution:
    """For one batch: who may start before its first message is accepted, and when it is better to start no more.

    After a batch that went well the next one of the same provider starts at full width.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._gone = 0
        self._accepted = False
        self._all_may_start = asyncio.Event()
        if provider in _went_well:
            self._all_may_start.set()

    async def turn(self, sender: int) -> None:
        """The first few of the batch's senders start at once, the others after the first acceptance."""
        if sender >= ENOUGH_SENDS:
            await self._all_may_start.wait()

    def note(self, outcome: Outcome) -> None:
        self._gone += outcome.kind is OutcomeKind.ADDRESS_GONE
        if outcome.kind is OutcomeKind.ACCEPTED and not self._accepted:
            self._accepted = True
            self._all_may_start.set()

    @property
    def stops(self) -> bool:
        """Every address was called gone, and there were enough of them to judge."""
        return not self._accepted and self._gone >= ENOUGH_SENDS

    def nothing_left(self) -> None:
        """The batch is started, all of it."""
        self._all_may_start.set()
        if self._accepted:
            _went_well.add(self._provider)
        else:
            _went_well.discard(self._provider)


def watch(provider: str, credential: str, gone: dict[int, str], *, sends: int, accepted: int, now: datetime) -> None:
    """Park the channels in `gone` (row id -> the provider's code), and count this write in the credential's window.

    Runs inside the transaction that writes the results.
    """
    before = gate.seen(provider, credential)
    if gone or (before is not None and before.window_from is not None):
        _watching.add((provider, credential))
    if (provider, credential) not in _watching:
        return
    if gone:
        ProviderState.objects.of(provider, credential).open_window(now)
        for channel_id, code in gone.items():
            Channel.objects.park([channel_id], by=provider, code=code, now=now)
    state = ProviderState.objects.filter(provider=provider, credential=credential)
    if not state.count_in_window(sends=sends, accepted=accepted):
        _watching.discard((provider, credential))
        return
    found = state.get()
    if found.window_from is not None and (found.window_sends >= ENOUGH_SENDS or now - found.window_from >= LONGEST):
        judge(found, now)


def tell_of_rejections(provider: str, credential: str, outcomes: Sequence[Outcome], now: datetime) -> None:
    """One alert where most of a write was rejected with one code: the payload is wrong, not the addresses."""
    codes = Counter(outcome.code for outcome in outcomes if outcome.kind is OutcomeKind.REJECTED)
    for code, count in codes.most_common(1):
        if count >= ENOUGH_SENDS and count > len(outcomes) / 2:
            said = f"{count} of {len(outcomes)} messages were rejected: {code}"
            text = f"{said}. No channel was disabled: look at the payload."
            Alert.objects.open_or_repeat(REJECTED_ALERT, f"{provider}/{credential}", text, now, provider=provider)


def judge_overdue(now: datetime) -> int:
    """Judge the windows whose time is over; how many. An alert that was quiet for an hour is closed."""
    quiet = Alert.objects.filter(kind__in=[ALERT, REJECTED_ALERT], closed_at=None, last_seen_at__lte=now - QUIET)
    quiet.update(closed_at=now)
    overdue = ProviderState.objects.filter(window_from__lte=now - LONGEST)
    return sum(judge(state, now) for state in overdue)


def judge(state: ProviderState, now: datetime) -> int:
    """Disable what is parked, or release it; 1 if it was ours to judge."""
    if state.window_from is None or not ProviderState.objects.filter(pk=state.pk).close_window(state.window_from):
        return 0
    parked = Channel.objects.filter(provider=state.provider, credential=state.credential, state=ChannelState.PARKED)
    by_code = parked.values("disabled_code").annotate(channels=Count("id")).order_by("-channels")
    worst = by_code.first()
    if worst is None:
        return 1
    if _is_ours(worst["channels"], state.window_sends, state.window_accepted):
        _release(state, worst["disabled_code"], worst["channels"], now)
    else:
        Channel.objects.disable_parked(state.provider, state.credential)
        Alert.objects.close(ALERT, f"{state.provider}/{state.credential}", now)
    return 1


def _is_ours(same_code: int, sends: int, accepted: int) -> bool:
    if same_code <= SUSPECT_SHARE * sends:
        return False
    return not (same_code <= FEW and accepted > 0)


def _release(state: ProviderState, code: str, channels: int, now: datetime) -> None:
    name = f"{state.provider}/{state.credential}"
    text = (
        f"{channels} of {state.window_sends} sends were answered {code}. No channel was disabled: "
        "check the credential, its project or topic, and the environment (sandbox or production)."
    )
    Channel.objects.release_parked(state.provider, state.credential)
    Alert.objects.open_or_repeat(ALERT, name, text, now, provider=state.provider)
    log.error(
        "blast-radius guard tripped", extra={"provider": state.provider, "credential": state.credential, "code": code}
    )
    if state.window_accepted < state.window_sends / 2:
        gate.pause(
            state.provider,
            state.credential,
            why=f"guard: {code}",
            now=now,
            seconds=PAUSE_S,
            trouble=Trouble.MISCONFIGURED,
        )
