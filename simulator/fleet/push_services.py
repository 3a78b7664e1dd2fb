"""The push services as a device meets them: they give it an address, and hand it what was sent there.

One stream for all devices. It comes back by itself after a break; what the services lost is in the inboxes.
"""

import asyncio
import json
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

from simulator.fleet.device import Device, read_message
from simulator.fleet.server import backoff_s
from simulator.fleet.troubles import Troubles
from simulator.services import Accepted, DeviceStream
from simulator.services.together import ADDRESSES_FILE

AT_ONCE = 50
DEADLINE_S = 10.0

OnPush = Callable[[Device, Mapping[str, Any]], None]


class Addresses:
    """Where new devices get their address. `folder` is the services' own: it says how they are reached."""

    def __init__(self, folder: Path, rng: Random) -> None:
        self._folder = folder
        self._rng = rng
        self._stock: dict[str, list[str]] = defaultdict(list)
        self._taking = asyncio.Lock()

    def take(self, service: str) -> str:
        """One that no device has yet. OSError or ValueError while the services are away."""
        stock = self._stock[service]
        if not stock:
            stock += _ask(described(self._folder)["control"], service)
        return stock.pop()

    async def insist(self, service: str) -> str:
        """The same, asked for until the services are there."""
        tries = 0
        while True:
            tries += 1
            with suppress(OSError, ValueError):
                async with self._taking:
                    return await asyncio.to_thread(self.take, service)
            await asyncio.sleep(backoff_s(tries, self._rng))


class PushStream:
    """The connection over which the services hand messages to all devices."""

    def __init__(self, folder: Path, rng: Random, *, on_push: OnPush, troubles: Troubles) -> None:
        self._folder = folder
        self._rng = rng
        self._on_push = on_push
        self._troubles = troubles
        self._devices: dict[tuple[str, str], Device] = {}
        self._online: set[str] = set()
        self._more = asyncio.Event()
        self._settled = asyncio.Event()

    @property
    def online(self) -> int:
        """How many devices the services can reach now."""
        return len(self._online)

    def add(self, device: Device) -> None:
        """Its messages come from now on, or as soon as the services are there."""
        self._devices[_key(device.identity.channel, device.identity.address)] = device
        self._more.set()

    def move(self, device: Device, old_address: str) -> None:
        """Its address is another one; what is sent to the old one no longer reaches it."""
        self._devices.pop(_key(device.identity.channel, old_address), None)
        self._online.discard(device.identity.device_id)
        self.add(device)

    async def look_again(self) -> None:
        """Who can be reached has changed; returns when the services know it."""
        self._settled.clear()
        self._more.set()
        await self._settled.wait()

    async def run(self) -> None:
        tries = 0
        while True:
            tries += 1
            with suppress(OSError, ValueError):
                async with DeviceStream.opened(described(self._folder)["devices"]) as stream:
                    tries = 0
                    await self._listen(stream)
            await asyncio.sleep(backoff_s(tries + 1, self._rng))

    async def _listen(self, stream: DeviceStream) -> None:
        subscribing = asyncio.create_task(self._subscribe(stream))
        try:
            async for message in stream.messages():
                self._take(message)
        finally:
            subscribing.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await subscribing
            self._online.clear()

    async def _subscribe(self, stream: DeviceStream) -> None:
        """Every device that can be reached, then every one that comes or goes."""
        while True:
            self._more.clear()
            for service, devices in self._by_service(online=False).items():
                await stream.subscribe(service, [device.identity.address for device in devices])
                self._online.update(device.identity.device_id for device in devices)
            for service, devices in self._by_service(online=True).items():
                await stream.unsubscribe(service, [device.identity.address for device in devices])
                self._online.difference_update(device.identity.device_id for device in devices)
            if not self._more.is_set():
                self._settled.set()
            await self._more.wait()

    def _by_service(self, *, online: bool) -> dict[str, list[Device]]:
        """The devices that are online and should not be, or the other way round."""
        found: dict[str, list[Device]] = defaultdict(list)
        for device in self._devices.values():
            is_online = device.identity.device_id in self._online
            if is_online is online and self._troubles.hears(device, device.identity.channel) is not online:
                found[device.identity.channel].append(device)
        return found

    def _take(self, message: Accepted) -> None:
        device = self._devices.get(_key(message.service, message.address))
        content = unwrapped(message)
        if device is not None and content is not None:
            self._on_push(device, content)


def described(folder: Path) -> dict[str, Any]:
    """How the services are reached. OSError or ValueError while they have not said so yet."""
    reached: dict[str, Any] = json.loads((folder / ADDRESSES_FILE).read_text(encoding="utf-8"))
    return reached


def unwrapped(message: Accepted) -> Mapping[str, Any] | None:
    """The flat keys of the wire contract, out of what the platform hands to the app; None where they are not there."""
    match message.service:
        case "fcm":
            return read_message(json.dumps(message.payload.get("data")))
        case "wns" if message.payload.startswith("<toast"):
            return read_message(ElementTree.fromstring(message.payload).get("launch"))
        case "wns":
            return read_message(message.payload)
        case _:
            return read_message(json.dumps(message.payload))


def _ask(control_url: str, service: str) -> list[str]:
    request = urllib.request.Request(
        f"{control_url}/addresses", json.dumps({"service": service, "count": AT_ONCE}).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        addresses: list[str] = json.load(answer)["addresses"]
    return addresses


def _key(service: str, address: str) -> tuple[str, str]:
    """An address without scheme, host and port: the services may come back on other ports."""
    if address.startswith("{"):
        address = json.loads(address)["endpoint"]
    parts = urlsplit(address)
    return service, f"{parts.path}?{parts.query}" if parts.scheme == "https" else address
