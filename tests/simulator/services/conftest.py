"""One of each service, in a thread of its own, new for each test."""

from collections.abc import Iterator

import pytest

from simulator.services import EmulatedApns, EmulatedFcm, EmulatedWebPush, EmulatedWns, running


@pytest.fixture
def fcm() -> Iterator[EmulatedFcm]:
    with running(EmulatedFcm()) as service:
        yield service


@pytest.fixture
def apns() -> Iterator[EmulatedApns]:
    with running(EmulatedApns()) as service:
        yield service


@pytest.fixture
def wns() -> Iterator[EmulatedWns]:
    with running(EmulatedWns()) as service:
        yield service


@pytest.fixture
def web_push() -> Iterator[EmulatedWebPush]:
    with running(EmulatedWebPush()) as service:
        yield service
