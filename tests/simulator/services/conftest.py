"""One of each service, in a thread of its own, new for each test but with the credentials of the first."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.services import EmulatedApns, EmulatedFcm, EmulatedWebPush, EmulatedWns, running


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the services of this session find the keys that they made: making an RSA key takes longer than a test."""
    return tmp_path_factory.mktemp("push-services")


@pytest.fixture
def fcm(home: Path) -> Iterator[EmulatedFcm]:
    with running(EmulatedFcm(home=home)) as service:
        yield service


@pytest.fixture
def apns(home: Path) -> Iterator[EmulatedApns]:
    with running(EmulatedApns(home=home)) as service:
        yield service


@pytest.fixture
def wns(home: Path) -> Iterator[EmulatedWns]:
    with running(EmulatedWns(home=home)) as service:
        yield service


@pytest.fixture
def web_push(home: Path) -> Iterator[EmulatedWebPush]:
    with running(EmulatedWebPush(home=home)) as service:
        yield service
