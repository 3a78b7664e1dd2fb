import asyncio
import random
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median, quantiles

import pytest

from delivery.outcomes import Outcome, OutcomeKind
from delivery.providers import simulation
from delivery.providers.base import ConfigError
from delivery.providers.simulation import PROFILES, Simulation
from tests.delivery.mqtt import wait_until
from tests.delivery.providers.ack_server import AckServer
from tests.delivery.providers.rig import MESSAGE, send

INSTANT = {"profile": "ideal", "seed": 7, "answer_median_ms": 0, "median_ms": 0}


def simulated(**config: object) -> Simulation:
    return Simulation.from_config({**INSTANT, **config})


def test_accepts_the_share_that_it_is_told_to() -> None:
    outcomes = send(simulated(success_rate=0.8, error_mix={"retry": 1}), [MESSAGE] * 2000)

    accepted = sum(outcome.kind is OutcomeKind.ACCEPTED for outcome in outcomes)
    assert accepted == pytest.approx(1600, abs=80)


def test_mixes_the_errors_by_weight() -> None:
    weights = {"retry": 5, "throttled": 3, "address_gone": 1, "rejected": 1}

    outcomes = send(simulated(success_rate=0, error_mix=weights), [MESSAGE] * 2000)

    seen = Counter(outcome.kind.value for outcome in outcomes)
    assert {kind: round(count / 200) for kind, count in seen.items()} == weights


def test_says_how_long_a_throttled_sender_should_wait() -> None:
    [outcome] = send(simulated(success_rate=0, error_mix="throttled=1"), [MESSAGE])

    assert (outcome.kind, outcome.retry_after_s) == (OutcomeKind.THROTTLED, 1.0)


def test_gives_the_same_world_for_the_same_seed() -> None:
    first, second = (send(simulated(success_rate=0.5, error_mix="retry=1"), [MESSAGE] * 50) for _ in range(2))

    assert first == second


def test_draws_delays_around_the_median() -> None:
    provider = Simulation(PROFILES["bad-wifi"], random.Random(7))

    delays_s = [provider._delay_s(2_500, 1.2) for _ in range(4000)]

    assert median(delays_s) == pytest.approx(2.5, rel=0.1)
    assert quantiles(delays_s, n=20)[-1] == pytest.approx(2.5 * 7.2, rel=0.2)


def test_takes_its_time_to_answer() -> None:
    started = time.monotonic()

    send(simulated(answer_median_ms=200, answer_sigma=0), [MESSAGE])

    assert 0.2 <= time.monotonic() - started < 0.6


def test_acks_over_http_what_a_device_would_say() -> None:
    started = datetime.now(UTC)
    with AckServer() as server:
        send(simulated(), [replace(MESSAGE, ack_url=server.url)])

        [ack] = server.acks

    received_at = datetime.fromisoformat(ack.pop("received_at"))
    assert started <= received_at <= datetime.now(UTC)
    assert ack == {
        "message_id": MESSAGE.message_id,
        "device_id": MESSAGE.device_id,
        "status": "delivered",
        "ack_token": MESSAGE.ack_token,
    }


def test_acks_after_the_devices_own_delay() -> None:
    with AckServer() as server:

        async def life() -> float:
            provider = simulated(median_ms=300, sigma=0)
            await provider.send([replace(MESSAGE, ack_url=server.url)])
            started = time.monotonic()
            await asyncio.to_thread(wait_until, lambda: len(server.acks) == 1)
            await provider.aclose()
            return time.monotonic() - started

        assert 0.28 <= asyncio.run(life()) < 0.8


def test_never_acks_a_share_of_what_it_accepted() -> None:
    with AckServer() as server:
        outcomes = send(simulated(ack_rate=0.5), [replace(MESSAGE, ack_url=server.url)] * 400)

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert len(server.acks) == pytest.approx(200, abs=40)


def test_acks_nothing_that_failed() -> None:
    with AckServer() as server:
        send(simulated(success_rate=0, error_mix="retry=1"), [replace(MESSAGE, ack_url=server.url)] * 20)

    assert server.acks == []


def test_acks_nothing_that_expires_on_its_way() -> None:
    with AckServer() as server:
        send(simulated(median_ms=1000, sigma=0), [replace(MESSAGE, ack_url=server.url, ttl_s=1)])

    assert server.acks == []


@pytest.mark.parametrize("statuses", [(503,), (429, 500)])
def test_acks_again_until_the_server_has_it(monkeypatch: pytest.MonkeyPatch, statuses: tuple[int, ...]) -> None:
    monkeypatch.setattr(simulation, "FIRST_BACKOFF_S", 0.05)
    with AckServer(statuses) as server:
        send(simulated(), [replace(MESSAGE, ack_url=server.url)])

    first, *again = server.acks
    assert again == [first] * len(statuses)


def test_takes_any_other_answer_for_final() -> None:
    with AckServer((401,)) as server:
        send(simulated(), [replace(MESSAGE, ack_url=server.url)])

    assert len(server.acks) == 1


def test_acks_again_after_the_server_was_away(refusing_port: int) -> None:
    async def life() -> int:
        provider = simulated()
        await provider.send([replace(MESSAGE, ack_url=f"http://127.0.0.1:{refusing_port}/ack")])
        await asyncio.sleep(0.3)
        assert provider._devices is not None
        waiting = provider._devices.pending
        await provider.aclose()
        return waiting

    assert asyncio.run(life()) == 1


def test_forgets_at_its_end_what_is_not_due_soon() -> None:
    started = time.monotonic()

    send(simulated(median_ms=60_000), [replace(MESSAGE, ack_url="http://127.0.0.1:1/")] * 100)

    assert time.monotonic() - started < 1


def test_throttles_what_it_could_not_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "MAX_PENDING_ACKS", 10)

    outcomes = send(simulated(median_ms=60_000), [replace(MESSAGE, ack_url="http://127.0.0.1:1/")] * 15)

    assert Counter(outcome.kind for outcome in outcomes) == {OutcomeKind.ACCEPTED: 10, OutcomeKind.THROTTLED: 5}


def test_numbers_what_it_accepts() -> None:
    outcomes: list[Outcome] = send(simulated(), [MESSAGE] * 100)

    assert len({outcome.provider_message_id for outcome in outcomes}) == 100


@pytest.mark.parametrize("profile", PROFILES)
def test_has_a_profile_for_each_network(profile: str) -> None:
    assert Simulation.from_config({"profile": profile})._conditions == PROFILES[profile]


def test_is_an_office_unless_told_otherwise() -> None:
    assert (
        Simulation.from_config({"profile": "", "success_rate": "", "error_mix": ""})._conditions == PROFILES["office"]
    )


def test_reads_settings_as_the_environment_spells_them() -> None:
    conditions = Simulation.from_config(
        {"success_rate": "0.5", "sigma": "2", "error_mix": "retry=8, rejected=2"}
    )._conditions

    assert (conditions.success_rate, conditions.sigma) == (0.5, 2.0)
    assert conditions.error_mix == {"retry": 8.0, "rejected": 2.0}


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"profile": "moon"}, "profile"),
        ({"success_rate": 1.1}, "success_rate"),
        ({"ack_rate": -0.1}, "ack_rate"),
        ({"median_ms": "nan"}, "median_ms"),
        ({"sigma": "inf"}, "sigma"),
        ({"answer_sigma": "wide"}, "numbers"),
        ({"error_mix": {"explosion": 1}}, "error_mix"),
        ({"error_mix": {"retry": -1}}, "error_mix"),
        ({"error_mix": "retry"}, "numbers"),
        ({"success_rate": 0.5, "error_mix": {"retry": 0}}, "error_mix"),
    ],
)
def test_refuses_a_world_that_cannot_be(config: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Simulation.from_config(config)
