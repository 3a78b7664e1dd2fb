"""Beat's ticks, from a real process: whatever its clock does, and while nobody takes them."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from delivery.beat import MAX_WAITING, QUEUE
from tests import faketime, servers
from tests.journey.api import wait_until
from tests.journey.production import Production

pytestmark = pytest.mark.journey

OFTEN = {"delivery.rehint", "delivery.release_lost", "delivery.expire", "analytics.roll_up"}


@pytest.fixture(scope="module")
def broker() -> Iterator[servers.Redis]:
    with servers.Redis() as own:
        yield own


@pytest.fixture
def queue(broker: servers.Redis) -> Iterator["redis.Redis"]:
    """The broker's keys; nobody consumes."""
    with redis.Redis(port=broker.port, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def production(broker: servers.Redis, tmp_path: Path) -> Iterator[Production]:
    urls = {"database_url": f"sqlite:///{tmp_path}/none.sqlite3", "redis_url": broker.url, "mqtt_url": ""}
    with Production(tmp_path, **urls, settings={}) as production:
        yield production


def waiting(queue: "redis.Redis") -> list[str]:
    """The tasks whose ticks nobody has taken."""
    return [json.loads(item)["headers"]["task"] for item in queue.lrange(QUEUE, 0, -1)]


def test_it_goes_on_when_its_clock_is_set_back(production: Production, queue: "redis.Redis", tmp_path: Path) -> None:
    if faketime.library() is None:
        pytest.skip(faketime.MISSING)
    offset = tmp_path / "offset"
    offset.write_text("+600", encoding="ascii")
    production.start("beat", **faketime.off_as_told_by(offset))
    wait_until(lambda: set(waiting(queue)) >= OFTEN, "a tick of each", 60, lambda: waiting(queue))

    offset.write_text("+0", encoding="ascii")
    production.processes["beat"].wait_for_line("set back")
    queue.delete(QUEUE)

    wait_until(lambda: set(waiting(queue)) >= OFTEN, "a tick of each", 30, lambda: waiting(queue))


def test_it_goes_on_after_a_restart_with_an_earlier_clock(production: Production, queue: "redis.Redis") -> None:
    if faketime.library() is None:
        pytest.skip(faketime.MISSING)
    production.start("beat", **faketime.off_by(600))
    wait_until(lambda: set(waiting(queue)) >= OFTEN, "a tick of each", 60, lambda: waiting(queue))
    production.processes["beat"].stop()
    queue.delete(QUEUE)

    production.start("beat")

    wait_until(lambda: set(waiting(queue)) >= OFTEN, "a tick of each", 30, lambda: waiting(queue))


def test_a_tick_has_no_end_that_another_clock_could_misread(production: Production, queue: "redis.Redis") -> None:
    production.start("beat")

    wait_until(lambda: set(waiting(queue)) >= OFTEN, "a tick of each", 60, lambda: waiting(queue))

    assert {json.loads(item)["headers"]["expires"] for item in queue.lrange(QUEUE, 0, -1)} == {None}


def test_nothing_piles_up_while_nobody_takes_the_ticks(production: Production, queue: "redis.Redis") -> None:
    production.start("beat")
    wait_until(lambda: bool(waiting(queue)), "first tick", 60)
    queue.rpush(QUEUE, *queue.lrange(QUEUE, 0, 0) * MAX_WAITING)
    full = queue.llen(QUEUE)

    time.sleep(4)
    later = queue.llen(QUEUE)
    queue.delete(QUEUE)

    assert later <= full + 1, "one may have been on its way"
    wait_until(lambda: bool(waiting(queue)), "tick once there is room again", 20)
