"""What a service took: counted by message, handed to the devices that listen, kept for those that do not."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

RECENT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One message that a service answered for, as its device gets it.

    `payload` is what the platform hands to the app: FCM's `message`, the APNs body, the WNS body as text, the decrypted
    Web Push body (`{"encrypted": ...}` for a real browser, which alone can open it). `message_id` is the product's,
    read from the payload (APNs: `apns-id`); without one it is the service's own id. `ttl_s` 0 means that nobody keeps
    it for a device that is away.
    """

    service: str
    address: str
    message_id: str
    provider_message_id: str
    payload: Any
    ttl_s: float = 0.0
    collapse_key: str = ""
    urgency: str = ""
    accepted_at_s: float = field(default_factory=time.time)
    """Unix time."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeps:
    """How much a service keeps for one device that is away."""

    plain: int
    collapsed: int = 0
    """How many collapse keys; 0 where messages with a key count like all others."""
    overflow_drops_all: bool = False
    """FCM: one plain message too many, and every plain message is dropped."""


Listener = Callable[[Accepted], None]


@dataclass(slots=True)
class Kept:
    until_s: float
    accepted: Accepted


class Deliveries:
    """Used on the service's event loop only; the counts may be read from any thread."""

    def __init__(self, keeps: Keeps) -> None:
        self.counts: Counter[str] = Counter()
        """How often each message was accepted."""
        self.recent: deque[Accepted] = deque(maxlen=RECENT)
        self.total = 0
        self.handed_over = 0
        self.dropped = 0
        """Kept for a device that was away, then pushed out or expired."""
        self._keeps = keeps
        self._kept: dict[str, list[Kept]] = {}
        self._listeners: dict[str, list[Listener]] = {}

    def accept(self, accepted: Accepted) -> None:
        self.total += 1
        self.counts[accepted.message_id] += 1
        self.recent.append(accepted)
        listeners = self._listeners.get(accepted.address)
        if listeners:
            self._hand_over(accepted, listeners)
        elif accepted.ttl_s > 0:
            self._keep(accepted)
        else:
            self.dropped += 1

    def listen(self, addresses: Iterable[str], listener: Listener) -> None:
        """The devices of these addresses come online: they get what was kept for them, then all that follows."""
        for address in addresses:
            self._listeners.setdefault(address, []).append(listener)
            now_s = time.monotonic()
            for kept in self._kept.pop(address, ()):
                if kept.until_s > now_s:
                    self._hand_over(kept.accepted, [listener])
                else:
                    self.dropped += 1

    def leave(self, addresses: Iterable[str], listener: Listener) -> None:
        """The devices go offline."""
        for address in addresses:
            rest = [each for each in self._listeners.pop(address, []) if each != listener]
            if rest:
                self._listeners[address] = rest

    def give_back(self, accepted: Accepted) -> None:
        """It was handed over to a device that left without a word of having it."""
        self.handed_over -= 1
        if accepted.ttl_s > 0:
            self._keep(accepted)
        else:
            self.dropped += 1

    def online(self, address: str) -> bool:
        return address in self._listeners

    def forget(self, address: str) -> None:
        """The address is gone for good, with all that waits for it."""
        self.dropped += len(self._kept.pop(address, ()))
        self._listeners.pop(address, None)

    def summary(self) -> dict[str, int]:
        return {
            "accepted": self.total,
            "messages": len(self.counts),
            "repeated": self.total - len(self.counts),
            "handed_over": self.handed_over,
            "waiting": sum(map(len, self._kept.values())),
            "dropped": self.dropped,
        }

    def clear_counts(self) -> None:
        self.counts.clear()
        self.recent.clear()
        self.total = self.handed_over = self.dropped = 0

    def _hand_over(self, accepted: Accepted, listeners: Iterable[Listener]) -> None:
        self.handed_over += 1
        for listener in tuple(listeners):
            listener(accepted)

    def _keep(self, accepted: Accepted) -> None:
        now_s = time.monotonic()
        before = self._kept.get(accepted.address, [])
        waiting = [each for each in before if each.until_s > now_s and not _replaced(each.accepted, accepted)]
        waiting.append(Kept(now_s + accepted.ttl_s, accepted))
        waiting = self._cut(waiting)
        self.dropped += len(before) + 1 - len(waiting)
        self._kept[accepted.address] = waiting

    def _cut(self, waiting: list[Kept]) -> list[Kept]:
        keyed = self._keeps.collapsed > 0
        plain = [each for each in waiting if not (keyed and each.accepted.collapse_key)]
        collapsed = [each for each in waiting if keyed and each.accepted.collapse_key]
        if len(plain) > self._keeps.plain:
            plain = [] if self._keeps.overflow_drops_all else plain[-self._keeps.plain :]
        if len(collapsed) > self._keeps.collapsed:
            collapsed = collapsed[-self._keeps.collapsed :]
        left = {id(each) for each in (*plain, *collapsed)}
        return [each for each in waiting if id(each) in left]


def _replaced(old: Accepted, new: Accepted) -> bool:
    return bool(new.collapse_key) and old.collapse_key == new.collapse_key
