"""What measurements send to: nginx with TLS and HTTP/2, its Lua module reading each body; for MQTT, Mosquitto.

What they counted has to equal what the database says, or the measurement is void.
"""

import os
import pwd
import shutil
import ssl
import time
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

import paho.mqtt.subscribe

from simulator.services.tls import TlsFiles, tls_files
from tests.processes import Process, ProcessError, port_answers, spawn
from tests.servers import Mqtt, Server

TEMPLATE = Path(__file__).with_name("stub.conf")
COUNTED_EVERY_S = 1
COUNT_TOPIC = "$SYS/broker/publish/messages/received"
MODULE_FOLDERS = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"))


class PushStub(Server):
    """Serves FCM, APNs and Web Push shapes on one port."""

    name = "stub"

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(folder)
        self.tls: TlsFiles = tls_files(self._data())

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        return port_answers(self.port)

    def counts(self) -> dict[str, int]:
        """What came since the start, by shape; `refused` was none."""
        context = ssl.create_default_context(cafile=str(self.tls.ca_file))
        with urllib.request.urlopen(f"{self.url}/counts", timeout=10, context=context) as answer:
            return {name: int(count) for name, count in (line.split() for line in answer.read().decode().splitlines())}

    def _launch(self) -> Process:
        nginx, modules = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"), _modules()
        if nginx is None or modules is None:
            raise ProcessError("no nginx with its Lua module: on Debian, apt-get install nginx libnginx-mod-http-lua")
        config = self._data() / "nginx.conf"
        config.write_text(self._config(modules), encoding="utf-8")
        return spawn(self.name, [nginx, "-p", self._data(), "-c", config, "-e", "stderr"], folder=self.folder)

    def _config(self, modules: Path) -> str:
        values = {
            "MODULES": modules,
            "FOLDER": self._data(),
            "PORT": self.port,
            "CERTIFICATE": self.tls.certificate_file,
            "KEY": self.tls.key_file,
            "USER": f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else "",
        }
        text = TEMPLATE.read_text(encoding="utf-8")
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        return text


class Broker(Mqtt):
    """Mosquitto, asked for its own count of published messages. Nobody subscribes: devices are not measured here."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(folder)
        self.settings = {"sys_interval": str(COUNTED_EVERY_S)}

    def counts(self) -> dict[str, int]:
        """What was published so far; waits until the broker has counted all that came before."""
        if not self.speaks_v5:
            raise ProcessError("no Mosquitto: on Debian, apt-get install mosquitto")
        time.sleep(2 * COUNTED_EVERY_S)
        parts = urlsplit(self.url)
        answer = paho.mqtt.subscribe.simple(  # type: ignore[no-untyped-call]
            COUNT_TOPIC,
            hostname="127.0.0.1",
            port=self.port,
            auth={"username": unquote(parts.username or ""), "password": unquote(parts.password or "")},
        )
        return {"mqtt": int(answer.payload)}


def _modules() -> Path | None:
    return next((folder for folder in MODULE_FOLDERS if (folder / "ngx_http_lua_module.so").exists()), None)
