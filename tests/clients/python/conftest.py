"""One product for all agents of these tests; each brings its own folder, and is a device of its own."""

from collections.abc import Iterator

import pytest

from tests import servers
from tests.clients.python.world import World, running_world


@pytest.fixture(scope="session")
def world(postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with servers.Redis() as own_redis:
        folder = tmp_path_factory.mktemp("agents")
        with running_world(folder, postgres.create_database("agents"), own_redis.url) as world:
            yield world
