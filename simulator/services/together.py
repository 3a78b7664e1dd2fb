"""All four services, the control port, the devices' port and the browsers' port in one process."""

import asyncio
import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from simulator.services.apns import EmulatedApns
from simulator.services.browsers import BrowsersPort
from simulator.services.configured import write_credentials
from simulator.services.control import ControlPort
from simulator.services.devices import DevicesPort
from simulator.services.fcm import EmulatedFcm
from simulator.services.service import EmulatedService
from simulator.services.web_push import EmulatedWebPush
from simulator.services.wns import EmulatedWns

NAMES = (EmulatedFcm.name, EmulatedApns.name, EmulatedWns.name, EmulatedWebPush.name)
ADDRESSES_FILE = "addresses.json"
ANY_PORTS = (0,) * 7


class PushServices:
    """`ports` in the order fcm, apns, wns, web_push, control, devices, browsers; 0 takes a free one.

    `home` keeps the CA and the credentials, so that the same fleet and the same sender work after a restart.
    """

    def __init__(self, *, home: Path, ports: Sequence[int] = ANY_PORTS) -> None:
        self.home = home
        self.fcm = EmulatedFcm(port=ports[0], home=home)
        self.apns = EmulatedApns(port=ports[1], home=home)
        self.wns = EmulatedWns(port=ports[2], home=home)
        self.web_push = EmulatedWebPush(port=ports[3], home=home)
        self.services: dict[str, EmulatedService] = {
            service.name: service for service in (self.fcm, self.apns, self.wns, self.web_push)
        }
        self.control = ControlPort(self.services, self.describe, port=ports[4])
        self.devices = DevicesPort(self.services, port=ports[5])
        self.browsers = BrowsersPort(self.web_push, port=ports[6])

    def describe(self) -> dict[str, Any]:
        """How a sender, a fleet and a person reach it all."""
        services = {
            name: {"url": service.url, "ca_file": str(service.ca_file), **service.describe()}
            for name, service in self.services.items()
        }
        return {**services, "control": self.control.url, "devices": self.devices.url, "browsers": self.browsers.url}

    async def start(self) -> None:
        for service in self.services.values():
            await service.start()
        await self.control.start()
        await self.devices.start()
        await self.browsers.start()
        (self.home / ADDRESSES_FILE).write_text(json.dumps(self.describe(), indent=2))

    async def stop(self) -> None:
        await self.browsers.stop()
        await self.devices.stop()
        await self.control.stop()
        for service in self.services.values():
            await service.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


async def serve(
    *, home: Path, ports: Sequence[int], credentials_file: Path | None, announce: Callable[[dict[str, Any]], None]
) -> None:
    """Run until SIGTERM or SIGINT. `announce` gets the addresses when everything listens.

    `credentials_file` is where the product reads how to send through these services; None: nobody is told.
    """
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with PushServices(home=home, ports=ports) as services:
        if credentials_file is not None:
            write_credentials(credentials_file, services.describe(), home)
        announce(services.describe())
        await stopped.wait()
