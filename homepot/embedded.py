"""`make run`: the whole product on this machine, without a server to install and without root.

Makes keys and a database in var/, then keeps every process of Procfile.dev alive until Ctrl-C, Redis and an MQTT broker
among them. Variables: HOST, PORT, SITES, FLEET. Django runs in the children only.
"""

import argparse
import fcntl
import http.client
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NoReturn
from urllib.parse import quote

from homepot import brokers, ports, supervision

ROOT = Path(__file__).resolve().parent.parent
VAR = ROOT / "var"
KEYS = ("secret-key", "admin-password", "mqtt-password")
"""Made here; `manage.py demo` adds an API key and the bootstrap key of the demo sites."""
PUSH_PORTS = ("fcm", "apns", "wns", "web_push", "push_control", "push_devices", "push_browsers")
"""As `manage.py push_services --ports` expects them."""

READY_S = 90.0


class CannotRun(Exception):
    """In words for the person at the terminal."""


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m homepot.embedded", description=__doc__)
    arguments.add_argument("--clean", action="store_true", help="empty var/ instead; refused while it runs")
    os.umask(0o077)
    VAR.mkdir(exist_ok=True)
    try:
        with alone():
            stop_what_was_left()
            if arguments.parse_args().clean:
                clean()
            else:
                run(
                    os.environ.get("HOST") or "127.0.0.1",
                    number("PORT", 8000),
                    number("SITES", 10),
                    number("FLEET", 300),
                    number("HISTORY", 24),
                )
    except CannotRun as problem:
        sys.exit(f"\n{problem}")
    except KeyboardInterrupt:
        return  # how a run is meant to end


def run(host: str, port: int, sites: int, fleet: int, history: int) -> None:
    began = time.monotonic()
    say("HOMEPOT Delivery on this machine; data in var/, Ctrl-C stops everything")
    refuse_busy_port(host, port)
    for signal_ in (signal.SIGINT, signal.SIGTERM):  # a script's background job would begin with SIGINT ignored
        signal.signal(signal_, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else nohup started it
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    with private_sockets() as sockets:
        with step("folders and keys"):
            env = environment(host, port, sites, fleet, sockets)
        with step("database"):
            manage(env, "migrate", "--verbosity", "0")
        with step(f"{sites} demo sites, {history} hours of history"):
            manage(env, "demo", "--sites", str(sites), "--history", str(history))
        config = brokers.write_private(
            VAR / "supervisord.conf",
            supervision.configuration(
                (ROOT / "Procfile.dev").read_text(encoding="utf-8"), env, folder=ROOT, var=VAR, sockets=sockets
            ),
        )
        supervisord = supervision.start(config, env)
        try:
            with step("Redis, MQTT broker, push services, web, workers"):
                wait_for_web(host, port, supervisord)
            welcome(env["PUBLIC_URL"], int(env["FLOWER_PORT"]), time.monotonic() - began)
            while True:
                status = supervisord.wait()
                say(f"The supervisor ended ({status}); starting it and its children again")
                supervision.stop(supervisord, VAR)
                supervisord = supervision.start(config, env)
        finally:
            stop(supervisord)


def refuse_busy_port(host: str, port: int) -> None:
    try:
        if ports.is_free(host, port):
            return
    except OSError as problem:
        raise CannotRun(f"Cannot listen on {host}, port {port}: {problem.strerror}.") from None
    raise CannotRun(
        f"Port {port} is taken by {ports.holder(port)}.\nChoose another: make run PORT={ports.next_free(host, port)}"
    )


def stop(supervisord: subprocess.Popen[bytes]) -> None:
    for signal_ in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
    say("")
    with step("stopping every process"):
        supervision.stop(supervisord, VAR)


@contextmanager
def alone() -> Iterator[None]:
    """Hold var/lock for as long as this process lives: one run for each data folder."""
    with (VAR / "lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise CannotRun(f"It runs already from this folder: {lock.read().strip()}. Stop that one first.") from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        yield


def stop_what_was_left() -> None:
    if left := supervision.leftovers(VAR):
        say(f"An earlier run was killed and left {len(left)} processes; stopping them ...")
        took_s = supervision.stop_leftovers(VAR)
        say(f"stopped in {took_s:.1f} s")
    old_sockets = VAR / "sockets"
    if old_sockets.is_symlink():
        shutil.rmtree(old_sockets.readlink(), ignore_errors=True)
        old_sockets.unlink()


def clean() -> None:
    for entry in VAR.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    say("var/ is empty")


@contextmanager
def private_sockets() -> Iterator[Path]:
    """A short folder that only we may enter: a UNIX socket's path holds 107 bytes, and var/ may be deep."""
    folder = Path(tempfile.mkdtemp(prefix="hp-", dir="/tmp"))  # TMPDIR may be long
    (VAR / "sockets").symlink_to(folder)
    try:
        yield folder
    finally:
        (VAR / "sockets").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def environment(host: str, port: int, sites: int, fleet: int, sockets: Path) -> dict[str, str]:
    """Everything that the children are told; nothing is read from a file but secrets."""
    shutil.rmtree(VAR / "metrics", ignore_errors=True)  # what processes of a run before had counted
    for name in ("log", "redis", "mqtt", "metrics"):
        (VAR / name).mkdir(exist_ok=True)
    for name in KEYS:
        if not (VAR / name).exists():
            brokers.write_private(VAR / name, secrets.token_urlsafe(32 if name == "secret-key" else 18) + "\n")
    credentials_file = VAR / "credentials.toml"
    if not credentials_file.exists():
        brokers.write_private(credentials_file, "# push_services writes it at every start\n")
    mqtt_port, flower_port, *push_ports = ports.kept(VAR / "ports.json", "mqtt", "flower", *PUSH_PORTS)
    redis_binary = brokers.redis_in_wheel() or brokers.on_path("redis-server")
    mqtt = brokers.mqtt_command(VAR / "mqtt", mqtt_port, secret("mqtt-password"))
    if redis_binary is None or mqtt is None:
        raise CannotRun("Redis or the MQTT broker is missing: run `make clean`, remove .venv and try again.")
    redis_socket = sockets / "redis.sock"
    # Redis would write its title over the environment, and with it the mark by which a leftover is known.
    redis = [*brokers.redis_command(redis_binary, VAR / "redis", socket=redis_socket), "--set-proc-title", "no"]
    return {
        **os.environ,
        supervision.RUN: str(VAR),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "PROMETHEUS_MULTIPROC_DIR": str(VAR / "metrics"),
        "DJANGO_SETTINGS_MODULE": "homepot.settings",
        "DEBUG": "1",
        "ALLOW_SIMULATION": "1",
        "SECRET_KEY_FILE": str(VAR / "secret-key"),
        "HOST": host,
        "PORT": str(port),
        "SITES": str(sites),
        "FLEET": str(fleet),
        "PUBLIC_URL": f"http://{ports.reached_as(host)}:{port}",
        "ALLOWED_HOSTS": ",".join(ports.own_names(host)),
        "DATABASE_URL": f"sqlite:///{quote(str(VAR))}/homepot.sqlite3",
        "CELERY_BROKER_URL": f"redis+socket://{redis_socket}?virtual_host=0",
        "CREDENTIALS_FILE": str(credentials_file),
        "PUSH_PORTS": ",".join(map(str, push_ports)),
        "CACHE_URL": f"unix://{redis_socket}?db=1",
        "MQTT_URL": f"mqtt://{brokers.MQTT_USER}:{secret('mqtt-password')}@127.0.0.1:{mqtt_port}",
        "FLOWER_PORT": str(flower_port),
        "FLOWER_BASIC_AUTH": f"admin:{secret('admin-password')}",
        "REDIS_COMMAND": shlex.join(redis),
        "MQTT_COMMAND": shlex.join(mqtt),
    }


def manage(env: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode != 0:
        raise CannotRun(f"`manage.py {shlex.join(arguments)}` failed:\n{done.stdout.decode(errors='replace')[-3000:]}")


def wait_for_web(host: str, port: int, supervisord: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while not web_answers(ports.reached_as(host), port):
        if supervisord.poll() is not None or time.monotonic() > deadline:
            fail_with_log("web")
        time.sleep(0.1)


def web_answers(host: str, port: int) -> bool:
    """With a page: not while the fleet's first registrations hold up whoever is less urgent."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/admin/login/")
        return connection.getresponse().status == 200
    return False


def fail_with_log(name: str) -> NoReturn:
    log = VAR / "log" / f"{name}.log"
    said = log.read_text(encoding="utf-8", errors="replace")[-3000:] if log.exists() else ""
    raise CannotRun(f"{name} did not answer. All logs are in {log.parent}; the end of this one:\n{said}")


def welcome(url: str, flower_port: int, took_s: float) -> None:
    order = json.dumps(
        {"name": "First job", "target": {"all": True}, "push_notification": {"title": "Hello", "body": "from curl"}}
    )
    say(
        f"\nReady after {took_s:.1f} s: {url}/admin/\n\n"
        f"  sign in        admin  {secret('admin-password')}   (var/admin-password)\n"
        f"  API key        {secret('api-key')}   (var/api-key)\n"
        f"  bootstrap key  {secret('bootstrap-key')}   (var/bootstrap-key)\n"
        f"  Flower         http://127.0.0.1:{flower_port}/   (the same sign-in)\n"
        f"  logs           {VAR / 'log'}\n\n"
        "Order a job:\n\n"
        f'  curl -H "Authorization: Bearer $(cat var/api-key)" -H "Content-Type: application/json" \\\n'
        f"       -d '{order}' {url}/api/v1/jobs\n"
    )


@contextmanager
def step(what: str) -> Iterator[None]:
    began = time.monotonic()
    say(f"  {what} ...", end="")
    yield
    say(f" {time.monotonic() - began:.1f} s")


def say(text: str, *, end: str = "\n", out: IO[str] = sys.stdout) -> None:
    with suppress(OSError):  # the terminal may be gone, which is no reason to leave children behind
        out.write(text + end)
        out.flush()


def secret(name: str) -> str:
    return (VAR / name).read_text(encoding="utf-8").strip()


def number(name: str, default: int) -> int:
    raw = os.environ.get(name) or str(default)
    if not raw.isdecimal() or int(raw) > 65535:
        raise CannotRun(f"{name}={raw} is not a whole number from 0 to 65535")
    return int(raw)


if __name__ == "__main__":
    main()
