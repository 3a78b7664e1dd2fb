"""What the fleet's tests stand on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from simulator.fleet.network import NETWORKS
from simulator.fleet.roster import Roster
from simulator.fleet.server import Server
from simulator.services import PushServices, running
from tests.simulator.fleet.stand_in import StandIn

IDEAL = NETWORKS["ideal"]


@pytest.fixture
def roster(tmp_path: Path) -> Roster:
    return Roster(tmp_path / "fleet")


@pytest.fixture(scope="session")
def services_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the push services keep the keys that they made: making an RSA key takes longer than a test."""
    return tmp_path_factory.mktemp("push-services")


@pytest.fixture
def services(services_home: Path) -> Iterator[PushServices]:
    with running(PushServices(home=services_home)) as each:
        yield each


@asynccontextmanager
async def served() -> AsyncIterator[tuple[StandIn, Server]]:
    """The stand-in for the product, and the devices' way to it."""
    async with StandIn() as stand_in, Server(stand_in.url, IDEAL, Random(1)) as server:
        yield stand_in, server


async def until(happened: Callable[[], bool], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not happened():  # noqa: ASYNC110  (what is waited for happens elsewhere and tells nobody)
            await asyncio.sleep(0.01)
