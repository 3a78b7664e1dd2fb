"""What is done about a zombie, rung by rung, until something helps: each once, each after its wait, each in the audit
log.

1. Ask the provider about the address, where it can be asked without sending anything.
2. Ask the device, by its next channel and its inbox, to register again.
3. Let its messages take another channel first, where it has one that works.
4. Tell a person: the alert `zombies` of its site (alerts.py).

Nothing is done to a device that is not there at the moment. Once a message is confirmed all is as before (zombies.py).
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from analytics.models import Rung, Zombie
from analytics.zombies import SYSTEM
from delivery import clocks, fanout, intake, jobs, probing, ranks, routing
from delivery.models import AuditLog, Device
from delivery.models.device import ONLINE_FOR
from delivery.outcomes import Outcome, OutcomeKind
from delivery.priority import Priority

log = logging.getLogger(__name__)

AT_ONCE = 50
"""So many in a minute: a fault that makes zombies of a whole fleet must not turn all of it over at once."""
LATER = timedelta(minutes=5)
"""The device is away, or the provider may not be asked now: look again then."""
PROBED_FOR = timedelta(hours=1)
"""A provider that answers nothing for so long is not waited for."""
ASKED_FOR_S = 86_400
VALID = "valid"
"""The provider would take a message for this address."""
NOT_ASKED = "not_asked"
"""The provider cannot be asked, or did not answer."""


def heal() -> int:
    """Take the rungs that are due; how many."""
    now = clocks.db_now()
    due = list(Zombie.objects.to_heal(now).select_related("device", "channel")[:AT_ONCE])
    here = [zombie for zombie in due if _is_there(zombie.device, now)]
    _wait([zombie for zombie in due if zombie not in here], now)
    taken = _probe([zombie for zombie in here if zombie.rung == Rung.FOUND], now)
    return taken + sum(_climb(zombie, now) for zombie in here if zombie.rung != Rung.FOUND)


def _is_there(device: Device, now: datetime) -> bool:
    return device.last_heartbeat_at is not None and now - device.last_heartbeat_at <= ONLINE_FOR


def _wait(zombies: Sequence[Zombie], now: datetime) -> None:
    Zombie.objects.standing().filter(pk__in=[zombie.pk for zombie in zombies]).update(next_at=now + LATER)


# --- 1. Ask the provider
def _probe(zombies: Sequence[Zombie], now: datetime) -> int:
    """Asking twice does no harm; until it is answered another process leaves them alone."""
    if not zombies:
        return 0
    _wait(zombies, now)
    answers = probing.probe([zombie.channel for zombie in zombies], now)
    return sum(_note_probe(zombie, answers[zombie.channel.pk], now) for zombie in zombies)


def _note_probe(zombie: Zombie, answer: Outcome | None, now: datetime) -> int:
    if _is_unknown(answer) and now - zombie.found_at < PROBED_FOR:
        return 0
    code = _code(answer)
    with transaction.atomic():
        if not _reach(zombie, Rung.PROBED, now, wait_s=settings.ZOMBIE_ASK_AFTER_S):
            return 0
        Zombie.objects.filter(pk=zombie.pk).update(probe_code=code)
        _note(zombie, "asked a provider about a zombie", answer=code)
    return 1


def _is_unknown(answer: Outcome | None) -> bool:
    """It may say more later."""
    later = (OutcomeKind.RETRY, OutcomeKind.THROTTLED, OutcomeKind.MISCONFIGURED)
    return answer is not None and answer.kind in later


def _code(answer: Outcome | None) -> str:
    if answer is None or _is_unknown(answer):
        return NOT_ASKED
    return VALID if answer.kind is OutcomeKind.ACCEPTED else answer.code[:100]


# --- 2 to 4
def _climb(zombie: Zombie, now: datetime) -> int:
    """The next rung, in one transaction with what it does: it is done once, whoever dies when."""
    try:
        with transaction.atomic():
            held = _held(zombie).first()
            if held is None:
                return 0
            match Rung(held.rung):
                case Rung.PROBED:
                    return _ask(held, now)
                case Rung.ASKED:
                    return _move(held, now)
                case Rung.MOVED:
                    return _tell(held, now)
                case Rung.FOUND | Rung.TICKET:
                    return 0
    except intake.Overloaded:
        _wait([zombie], now)
        return 0


def _held(zombie: Zombie) -> QuerySet[Zombie]:
    """The zombie, locked, if it still stands where it stood; none where another process is at it."""
    found = Zombie.objects.standing().filter(pk=zombie.pk, rung=zombie.rung).select_related("device", "channel")
    return found.select_for_update(skip_locked=True, of=("self",))


def _ask(zombie: Zombie, now: datetime) -> int:
    """A message that shows nothing, by the next channel; it waits in the inbox, too."""
    device = zombie.device
    other = _next_channel(zombie)
    if other is None and not device.has_key:
        _reach(zombie, Rung.ASKED, now, wait_s=settings.ZOMBIE_MOVE_AFTER_S)
        _note(zombie, "could not ask a zombie to register again", why="no other way to it")
        return 1
    order = jobs.Order(
        name=f"Register {zombie.provider} again",
        target=jobs.Target(devices=[device.device_id]),
        payload={
            "title": "", "body": "", "data": {"type": "register_again", "provider": zombie.provider},
            "data_only": True, "wake": True,
        },
        priority=Priority.HIGH,
        ttl_s=ASKED_FOR_S,
        ordered_by=SYSTEM,
    )  # fmt: skip
    message = jobs.accept_at_once(order, [device], {device.pk: other} if other is not None else None)[device.device_id]
    _reach(zombie, Rung.ASKED, now, wait_s=settings.ZOMBIE_MOVE_AFTER_S)
    Zombie.objects.filter(pk=zombie.pk).update(asked_by=message.message_id, asked_at=now)
    _note(zombie, "asked a zombie to register again", message_id=str(message.message_id), by=message.provider)
    return 1


def _next_channel(zombie: Zombie) -> int | None:
    """The row id of the first of the device's other channels that can be sent on."""
    ways = [
        way for way in fanout.usable_ways([zombie.device.pk])[zombie.device.pk] if way.channel_id != zombie.channel.pk
    ]
    order = routing.in_order(ways, zombie.device.capabilities)
    way = routing.first_way(order, fanout.available())
    return way.channel_id if way is not None else None


def _move(zombie: Zombie, now: datetime) -> int:
    """Where there is nothing to move to, a person hears of it at once."""
    moved = ranks.demote(zombie.channel)
    _reach(zombie, Rung.MOVED, now, wait_s=settings.ZOMBIE_TICKET_AFTER_S if moved else 0)
    if moved:
        _note(zombie, "moved a zombie's channel behind the others")
    else:
        _note(zombie, "could not move a zombie's channel", why="no other channel that works")
    return 1


def _tell(zombie: Zombie, now: datetime) -> int:
    _reach(zombie, Rung.TICKET, now, wait_s=None)
    _note(zombie, "gave a zombie to a person")
    log.warning(
        "a zombie could not be healed", extra={"device_id": zombie.device.device_id, "provider": zombie.provider}
    )
    return 1


def _reach(zombie: Zombie, rung: Rung, now: datetime, *, wait_s: float | None) -> int:
    next_at = None if wait_s is None else now + timedelta(seconds=wait_s)
    return Zombie.objects.filter(pk=zombie.pk).climb(rung, from_rung=Rung(zombie.rung), now=now, next_at=next_at)


def _note(zombie: Zombie, action: str, **details: str) -> None:
    AuditLog.note(
        SYSTEM, action, zombie.device, zombie.device.device_id, provider=zombie.provider, channel=zombie.channel.pk,
        **details,
    )  # fmt: skip
