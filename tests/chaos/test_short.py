"""The most telling faults in short, on one rig: `make chaos` runs all of them at full size."""

import shutil
from collections.abc import Iterator

import pytest

from tests import servers
from tests.chaos.case import all_cases
from tests.chaos.judge import judge
from tests.chaos.rig import Rig

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

MESSAGES = 500


@pytest.fixture(scope="module")
def rig(postgres: servers.Postgres, redis_server: servers.Redis, mqtt_broker: servers.Mqtt) -> Iterator[Rig]:
    """The shared servers say whether this machine can run such servers at all; these are hurt, so they are its own."""
    folder = servers.scratch_folder()
    with Rig(folder, devices=MESSAGES, settings={}) as rig:
        yield rig
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("name", ["redis-flush", "postgres-restart", "worker-kill"])
def test_nothing_is_lost(rig: Rig, name: str) -> None:
    verdict = judge(all_cases()[name], rig, MESSAGES)

    assert verdict.problems == [], verdict.line
