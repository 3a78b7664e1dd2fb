"""One product for all browsers; each test module has its own browser."""

from collections.abc import Iterator

import pytest

from simulator.services import PushServices, running
from tests import servers
from tests.clients.web.product import Portal


@pytest.fixture(scope="package")
def portal(postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    folder, database_url = tmp_path_factory.mktemp("portal"), postgres.create_database("portal")
    with (
        servers.Redis() as redis,
        running(PushServices(home=tmp_path_factory.mktemp("services"))) as services,
        Portal(folder, database_url, redis, services) as portal,
    ):
        yield portal
