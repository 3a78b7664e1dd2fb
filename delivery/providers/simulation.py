"""A push service and its devices that exist only here: for demos, load and tests, never in the place of a real one.

Sending takes a while and sometimes fails, as the settings say. A device that got a message acks it as real ones do,
with a POST to the message's `ack_url` after its own delay; nothing of the product is called directly.
"""

import asyncio
import json
import logging
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from delivery import crash_points
from delivery.outcomes import Outcome, OutcomeKind, accepted, no_answer
from delivery.providers.base import ConfigError, Message, Provider, flat
from delivery.providers.http import Http, NoAnswer

log = logging.getLogger(__name__)

ERROR_KINDS = ("retry", "throttled", "address_gone", "rejected")
NUMBERS = ("success_rate", "answer_median_ms", "answer_sigma", "median_ms", "sigma", "ack_rate")

MAX_PENDING_ACKS = 50_000
"""About 1 KB each. A send that would need one more is throttled."""

GRACE_S = 1.0
"""`aclose` lets acks that are due so soon go out."""

FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How good the simulated world is. Delays are log-normal: half of them are below the median, sigma is the tail."""

    success_rate: float
    """The share of sends that is accepted."""
    error_mix: Mapping[str, float]
    """Weights of what the others meet: retry, throttled, address_gone, rejected."""
    answer_median_ms: float
    answer_sigma: float
    """How long the service takes to answer."""
    median_ms: float
    sigma: float
    """How long the message then takes to its device."""
    ack_rate: float
    """The share of accepted messages that the device acks at all."""

    def __post_init__(self) -> None:
        for name in NUMBERS:
            if name.endswith("_rate") and not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"simulation: {name} must be between 0 and 1")
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"simulation: {name} must be a number from 0 on")
        if not set(self.error_mix) <= set(ERROR_KINDS) or not all(0 <= w < math.inf for w in self.error_mix.values()):
            raise ConfigError(f"simulation: error_mix must give weights from 0 on to {', '.join(ERROR_KINDS)}")
        if self.success_rate < 1 and not sum(self.error_mix.values()):
            raise ConfigError("simulation: error_mix needs a weight above 0 when success_rate is below 1")


PROFILES = {
    "ideal": Conditions(
        success_rate=1.0,
        error_mix={},
        answer_median_ms=5,
        answer_sigma=0.1,
        median_ms=50,
        sigma=0.2,
        ack_rate=1.0,
    ),
    "office": Conditions(
        success_rate=0.995,
        error_mix={"retry": 8, "throttled": 2},
        answer_median_ms=40,
        answer_sigma=0.4,
        median_ms=300,
        sigma=0.6,
        ack_rate=0.999,
    ),
    "bad-wifi": Conditions(
        success_rate=0.97,
        error_mix={"retry": 9, "throttled": 1},
        answer_median_ms=150,
        answer_sigma=0.8,
        median_ms=2_500,
        sigma=1.2,
        ack_rate=0.95,
    ),
    "terrible": Conditions(
        success_rate=0.8,
        error_mix={"retry": 80, "throttled": 15, "address_gone": 1, "rejected": 4},
        answer_median_ms=600,
        answer_sigma=1.0,
        median_ms=15_000,
        sigma=1.5,
        ack_rate=0.7,
    ),
}


class Simulation(Provider):
    name: ClassVar[str] = "simulation"
    max_payload_bytes: ClassVar[int] = 4096

    def __init__(
        self, conditions: Conditions, rng: random.Random, *, ca_file: str | None = None, deadline_s: float = 10.0
    ) -> None:
        self._conditions = conditions
        self._rng = rng
        self._ca_file = ca_file
        self._deadline_s = deadline_s
        self._devices: Devices | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Keys: `profile` (default office), each field of `Conditions`, `seed`, `ca_file` for acks, `deadline_s`.

        What is empty keeps the profile's value. `error_mix` may be text such as `retry=8,throttled=2`.
        """
        given = {key: value for key, value in config.items() if value not in (None, "")}
        profile = given.get("profile", "office")
        if profile not in PROFILES:
            raise ConfigError(f"simulation: profile must be one of {', '.join(PROFILES)}")
        own: dict[str, Any]
        try:
            own = {key: float(given[key]) for key in NUMBERS if key in given}
            if "error_mix" in given:
                own["error_mix"] = mix_of(given["error_mix"])
            deadline_s = float(given.get("deadline_s", 10.0))
        except (TypeError, ValueError):
            raise ConfigError("simulation: rates, delays and weights must be numbers") from None
        return cls(
            replace(PROFILES[profile], **own),
            random.Random(given.get("seed")),
            ca_file=given.get("ca_file"),
            deadline_s=deadline_s,
        )

    async def aclose(self) -> None:
        """Let the acks that are due within a second go out, and forget the others."""
        devices, self._devices = self._devices, None
        if devices is not None and devices.loop is asyncio.get_running_loop():
            await devices.aclose()

    async def send_one(self, message: Message) -> Outcome:
        if (size_bytes := len(json.dumps(flat(message), separators=(",", ":")))) > self.max_payload_bytes:
            return Outcome(
                kind=OutcomeKind.REJECTED, code="payload_too_large", detail=f"{size_bytes} bytes are more than 4096"
            )
        latency_s = self._delay_s(self._conditions.answer_median_ms, self._conditions.answer_sigma)
        await asyncio.sleep(min(latency_s, self._deadline_s))
        if latency_s > self._deadline_s:
            return no_answer(f"simulated: no answer within {self._deadline_s:g} s")
        if self._rng.random() >= self._conditions.success_rate:
            return self._failure()
        devices = self._fleet()
        if devices.pending >= MAX_PENDING_ACKS:
            return Outcome(kind=OutcomeKind.THROTTLED, code="simulated_overload", detail="too many acks are pending")
        if self._rng.random() < self._conditions.ack_rate:
            devices.receive(message, self._delay_s(self._conditions.median_ms, self._conditions.sigma))
        crash_points.passing("after_request")
        return accepted(f"simulation-{self._rng.getrandbits(64):016x}")

    def _failure(self) -> Outcome:
        mix = self._conditions.error_mix
        [word] = self._rng.choices(list(mix), weights=list(mix.values()))
        if word == "retry":
            return no_answer("simulated: the connection broke")
        return Outcome(
            kind=OutcomeKind(word),
            code=f"simulated_{word}",
            retry_after_s=1.0 if word == "throttled" else None,
            detail="simulated",
        )

    def _delay_s(self, median_ms: float, sigma: float) -> float:
        return self._rng.lognormvariate(0, sigma) * median_ms / 1000

    def _fleet(self) -> "Devices":
        """The devices of the running loop: those of a loop that has ended are gone with it."""
        if self._devices is None or self._devices.loop is not asyncio.get_running_loop():
            self._devices = Devices(Http(ca_file=self._ca_file, window=50, deadline_s=self._deadline_s))
        return self._devices


@dataclass(slots=True, eq=False)
class PendingAck:
    """One message that reached its device; `gives_up_at` is on the loop's clock."""

    url: str
    body: dict[str, str]
    gives_up_at: float
    backoff_s: float


def mix_of(weights: Mapping[str, Any] | str) -> dict[str, float]:
    """`{"retry": 8}` or `retry=8,throttled=2` as numbers; `ValueError` for anything else."""
    pairs = [part.split("=", 1) for part in weights.split(",")] if isinstance(weights, str) else weights.items()
    return {kind.strip(): float(weight) for kind, weight in pairs}


class Devices:
    """All simulated devices: each acks what it got over HTTP, again and again until answered or the message expired."""

    def __init__(self, http: Http) -> None:
        self.loop = asyncio.get_running_loop()
        self._http = http
        self._timers: dict[PendingAck, asyncio.TimerHandle] = {}
        self._posts: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        """Acks that are still to come or on their way."""
        return len(self._timers) + len(self._posts)

    def receive(self, message: Message, after_s: float) -> None:
        """The message reaches its device after `after_s`, unless it expires before or names nobody to ack to."""
        if after_s >= message.ttl_s or not message.ack_url:
            return
        body = {
            "message_id": message.message_id,
            "device_id": message.device_id,
            "status": "delivered",
            "ack_token": message.ack_token,
        }
        self._in(after_s, PendingAck(message.ack_url, body, self.loop.time() + message.ttl_s, FIRST_BACKOFF_S))

    async def aclose(self) -> None:
        """Wait while acks are on their way or due within the grace, no longer than that, and drop the rest."""
        ends_at = self.loop.time() + GRACE_S
        while self.loop.time() < ends_at:
            if not self._posts and all(timer.when() > ends_at for timer in self._timers.values()):
                break
            await asyncio.sleep(0.02)
        for timer in self._timers.values():
            timer.cancel()
        for post in self._posts:
            post.cancel()
        await self._http.aclose()

    def _in(self, delay_s: float, ack: PendingAck) -> None:
        self._timers[ack] = self.loop.call_later(delay_s, self._due, ack)

    def _due(self, ack: PendingAck) -> None:
        del self._timers[ack]
        ack.body.setdefault("received_at", datetime.now(UTC).isoformat())
        post = self.loop.create_task(self._post(ack))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)

    async def _post(self, ack: PendingAck) -> None:
        """One try; no answer, 429 or 5xx: again later, as an agent does. Any other answer is final."""
        try:
            answer = await self._http.post(
                ack.url, content=json.dumps(ack.body).encode(), headers={"Content-Type": "application/json"}
            )
        except NoAnswer as unknown:
            problem = unknown.detail
        else:
            if answer.status == 200:
                return
            problem = f"status {answer.status}"
            if answer.status != 429 and answer.status < 500:
                log.warning("a simulated device's ack was refused: %s", problem)
                return
        if self.loop.time() + ack.backoff_s < ack.gives_up_at:
            log.debug("a simulated device's ack waits: %s", problem)
            self._in(ack.backoff_s, ack)
            ack.backoff_s = min(ack.backoff_s * 2, MAX_BACKOFF_S)
