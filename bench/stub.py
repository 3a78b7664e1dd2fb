"""The push service that measurements send to: nginx with TLS and HTTP/2, its Lua module reading each body.

What it counted has to equal what the database says, or the measurement is void.
"""

import os
import pwd
import shutil
import ssl
import urllib.request
from pathlib import Path

from simulator.services.tls import TlsFiles, tls_files
from tests.processes import Process, ProcessError, port_answers, spawn
from tests.servers import Server

TEMPLATE = Path(__file__).with_name("stub.conf")
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


def _modules() -> Path | None:
    return next((folder for folder in MODULE_FOLDERS if (folder / "ngx_http_lua_module.so").exists()), None)
