"""supervisord's file, and how a leftover is known."""

import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from homepot import supervision


def read(procfile: str, env: dict[str, str], folder: Path = Path("/srv/app")) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(
        supervision.configuration(procfile, env, folder=folder, var=folder / "var", sockets=Path("/tmp/hp-x"))
    )
    return parser


def test_every_line_of_the_procfile_is_a_program_that_is_started_again() -> None:
    config = read("# a remark\n\nweb: serve --port $PORT\nredis_server: redis\n", {"PORT": "8000"})

    assert config["program:web"]["command"] == "serve --port 8000"
    assert config["program:web"]["autorestart"] == "true"
    assert config["program:redis_server"]["command"] == "redis"


def test_servers_start_before_what_needs_them() -> None:
    config = read("web: serve\nredis_server: redis\nmqtt_server: mqtt\n", {})

    assert config["group:servers"]["programs"] == "redis_server,mqtt_server"
    assert config.getint("group:servers", "priority") < config.getint("group:homepot", "priority")


def test_a_percent_sign_is_taken_literally() -> None:
    config = read("beat: celery --hostname beat@%h\n", {}, folder=Path("/srv/100%"))

    assert config["program:beat"]["command"] == "celery --hostname beat@%%h"
    assert config["program:beat"]["directory"] == "/srv/100%%"


def test_a_variable_that_nobody_set_is_refused() -> None:
    with pytest.raises(KeyError, match="PORT"):
        read("web: serve --port $PORT\n", {})


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    with subprocess.Popen(command, env={supervision.RUN: str(tmp_path)}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # before, its environment may not be there yet
        yield process
        process.kill()


def test_only_processes_of_the_same_data_folder_are_left_over(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    mine = supervision.leftovers(tmp_path)
    others = supervision.leftovers(tmp_path / "elsewhere")

    assert [process.pid for process in mine] == [sleeper.pid]
    assert others == []


def test_leftovers_are_gone_after_they_were_stopped(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    supervision.stop_leftovers(tmp_path)

    assert sleeper.poll() is not None


@pytest.mark.parametrize("name", ["Procfile", "Procfile.dev"])
def test_only_num_proxies_decides_whose_forwarded_addresses_are_believed(name: str) -> None:
    """Else uvicorn believes every process of this machine, whatever NUM_PROXIES says."""
    lines = (Path(supervision.__file__).parents[1] / name).read_text(encoding="utf-8").splitlines()

    [web] = [line for line in lines if line.startswith("web: uvicorn ")]

    assert "--no-proxy-headers" in web.split()
