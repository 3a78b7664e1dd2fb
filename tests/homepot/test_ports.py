"""Free ports and their holders."""

import os
import socket
from collections.abc import Iterator

import pytest

from homepot import ports


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_somebody_listens_on_is_not_free(busy_port: int) -> None:
    assert not ports.is_free("127.0.0.1", busy_port)


def test_the_wanted_port_is_kept_while_it_is_free() -> None:
    wanted = ports.free_port()

    assert ports.free_port(wanted=wanted) == wanted


def test_another_port_is_taken_when_the_wanted_one_is_busy(busy_port: int) -> None:
    assert ports.free_port(wanted=busy_port) != busy_port


def test_the_holder_of_a_busy_port_is_named_with_its_process(busy_port: int) -> None:
    assert f"process {os.getpid()}" in ports.holder(busy_port)


def test_a_free_port_near_by_is_offered(busy_port: int) -> None:
    offered = ports.next_free("127.0.0.1", busy_port)

    assert ports.is_free("127.0.0.1", offered)
