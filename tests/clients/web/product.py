"""The product behind the portal: a web process and the Web Push sender, on the emulated service."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from django.contrib.auth.hashers import make_password

from homepot.brokers import write_private
from simulator.services import PushServices
from simulator.services.configured import write_credentials
from tests import servers
from tests.journey.api import wait_until
from tests.journey.production import Production, Record

PERSON = "admin"
"""Whom the demo makes; the password is in a file of its own."""
SETTINGS = {"WEB_WORKERS": "1", "DEFAULT_TTL_S": "3600", "SIMULATOR": "1"}
"""With SIMULATOR the static files need no collecting."""


class Portal:
    """As a context manager it stops its processes at the end."""

    def __init__(self, folder: Path, database_url: str, redis: servers.Redis, services: PushServices) -> None:
        self._credentials_file = folder / "credentials.toml"
        write_credentials(self._credentials_file, services.describe(), services.home)
        settings = {**SETTINGS, "CREDENTIALS_FILE": str(self._credentials_file)}
        urls = {"database_url": database_url, "redis_url": redis.url, "mqtt_url": ""}
        self.production = Production(folder, **urls, settings=settings)
        self.services = services
        self.api = self.production.prepare(1)
        self.record = Record(database_url)
        self.password = (folder / "admin-password").read_text(encoding="utf-8").strip()

    def __enter__(self) -> Self:
        web, sender = self.production.start("web"), self.production.start("web_push")
        web.wait_for_url(f"{self.url}/livez")
        sender.wait_for_line(" ready.")
        return self

    def __exit__(self, *error: Any) -> None:
        self.production.__exit__(*error)
        self.record.close()

    @property
    def url(self) -> str:
        return self.production.url

    def send(self, device_id: str, **push: object) -> str:
        """Order one message; its id."""
        answer = self.api.call(
            "POST", "/push/send", {"device_id": device_id, "title": "New prices", "body": "2.1", **push}
        )
        assert answer.status == 200, answer
        return str(answer.body["message_id"])

    def add_person(self, name: str, password: str) -> None:
        """Nobody's technician, and no staff."""
        self.record.execute(
            "INSERT INTO auth_user (username, password, is_active, is_staff, is_superuser, first_name, last_name,"
            " email, date_joined) VALUES (%s, %s, true, false, false, '', '', '', now())",
            name,
            make_password(password),
        )

    def forget_browsers(self) -> None:
        """The push service knows none any more."""
        browsers = self.services.browsers
        asyncio.run_coroutine_threadsafe(browsers.forget(), browsers.loop).result(5)

    @contextmanager
    def without_web_push(self) -> Iterator[None]:
        """The credentials lack it for this long."""
        kept = self._credentials_file.read_text(encoding="utf-8")
        others = kept[: kept.index("[web_push.default]")]
        write_private(self._credentials_file, others)
        try:
            wait_until(lambda: self.api.call("GET", "/push/vapid-public-key").status == 503, "server without a key")
            yield
        finally:
            write_private(self._credentials_file, kept)
            wait_until(lambda: self.api.call("GET", "/push/vapid-public-key").status == 200, "server with a key")

    @cached_property
    def simulated_device(self) -> str:
        """A device whose address is one of the emulated service: what is sent to it can be read there."""
        bootstrap_key = (self.production.folder / "bootstrap-key").read_text(encoding="utf-8").strip()
        device = self.api.provision("site-001", bootstrap_key, "simulated")
        address = self.services.web_push.new_address()
        answer = device.call("PUT", f"/devices/{device.device_id}/channels/web_push", {"address": address})
        assert answer.status == 201, answer
        return device.device_id

    def payload(self, **push: object) -> dict[str, Any]:
        """What the product sent to a browser, decrypted, and nobody has received yet."""
        message_id = self.send(self.simulated_device, **push)
        service = self.services.web_push
        wait_until(lambda: service.times_accepted(message_id) > 0, "push at the service", pause_s=0.02)
        [sent] = [each.payload for each in service.accepted() if each.message_id == message_id]
        return dict(sent)

    def message(self, message_id: str) -> dict[str, Any]:
        [row] = self.record.rows("SELECT * FROM push_notification_logs WHERE message_id = %s", message_id)
        return row

    def wait_for(self, message_id: str, moment: str, timeout_s: float = 20) -> dict[str, Any]:
        """The message, once this moment of it is known."""
        wait_until(
            lambda: self.message(message_id)[moment], moment, timeout_s, lambda: self.message(message_id), pause_s=0.02
        )
        return self.message(message_id)
