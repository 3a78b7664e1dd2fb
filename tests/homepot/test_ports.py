"""Free ports and their holders."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

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


def test_ports_are_the_same_the_next_time(tmp_path: Path) -> None:
    first = ports.kept(tmp_path / "ports.json", "mqtt", "flower")

    assert ports.kept(tmp_path / "ports.json", "mqtt", "flower") == first
    assert len(set(first)) == 2


def test_a_server_for_this_machine_alone_has_no_other_names() -> None:
    assert ports.own_names("127.0.0.1") == ["127.0.0.1", "localhost"]


def test_a_server_on_all_addresses_is_reached_by_the_name_of_the_machine() -> None:
    assert socket.gethostname() in ports.own_names(ports.ANYWHERE)


def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(OSError, match="assign"):
        ports.is_free("192.0.2.1", 8000)
