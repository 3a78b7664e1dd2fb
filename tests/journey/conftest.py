"""What the journeys past dying processes stand on."""

from collections.abc import Iterator

import pytest

from simulator.services import PushServices, running
from tests import servers
from tests.journey.crashes import Crashes


@pytest.fixture(scope="module")
def broker() -> Iterator[servers.Mqtt]:
    with servers.Mqtt() as broker:
        yield broker


@pytest.fixture(scope="module")
def own_redis() -> Iterator[servers.Redis]:
    with servers.Redis() as own:
        yield own


@pytest.fixture(scope="module")
def crashes(
    request: pytest.FixtureRequest,
    postgres: servers.Postgres,
    own_redis: servers.Redis,
    broker: servers.Mqtt,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Crashes]:
    """For this module alone, with its SETTINGS."""
    name = request.module.__name__.rpartition(".")[2]
    folder, database_url = tmp_path_factory.mktemp(name), postgres.create_database(name)
    with (
        running(PushServices(home=tmp_path_factory.mktemp("services"))) as services,
        Crashes(folder, database_url, own_redis, broker, services, request.module.SETTINGS) as crashes,
    ):
        yield crashes
