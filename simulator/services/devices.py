"""The wire between the services and simulated devices: JSON lines over one long-lived TCP connection.

A fleet says who is online, and gets what the services took for them:

    -> {"subscribe": "fcm", "addresses": ["...", "..."]}      these devices come online
    <- {"subscribed": "fcm", "addresses": 2}
    <- {"message": {"service": "fcm", "address": "...", "message_id": "...", "payload": {...}, ...}}
    -> {"unsubscribe": "fcm", "addresses": ["..."]}           these go offline
    <- {"unsubscribed": "fcm", "addresses": 1}
    <- {"error": "..."}                                       a line that was not understood

What waited for a device comes before what follows. A closed connection takes all of its devices offline. The keys of a
message are those of `Accepted`.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from simulator.services.deliveries import Accepted
from simulator.services.service import EmulatedService

MAX_LINE_BYTES = 16 << 20
MAX_UNREAD_BYTES = 64 << 20
"""A fleet that falls so far behind is cut off."""


class DevicesPort:
    """The services' end. `url` is `host:port`."""

    def __init__(self, services: Mapping[str, EmulatedService], *, port: int = 0) -> None:
        self.port = port
        self._services = services
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=MAX_LINE_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fleet = Fleet(self._services, writer)
        try:
            async for line in _lines(reader):
                writer.write(_line(fleet.obey(line)))
        finally:
            fleet.leave()
            writer.close()


class Fleet:
    """One connection, and the devices that are online through it."""

    def __init__(self, services: Mapping[str, EmulatedService], writer: asyncio.StreamWriter) -> None:
        self._services = services
        self._writer = writer
        self._online: dict[str, set[str]] = {name: set() for name in services}

    def obey(self, line: bytes) -> dict[str, Any]:
        """Do what a line asks, and answer it."""
        try:
            order = json.loads(line)
            verb = "subscribe" if "subscribe" in order else "unsubscribe"
            service = self._services[order[verb]]
            addresses = {service.key_of(_text(address)) for address in order["addresses"]}
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            return {"error": f"not understood: {problem!r}"}
        online = self._online[service.name]
        if verb == "subscribe":
            service.deliveries.listen(addresses - online, self.hand_over)
            online |= addresses
        else:
            service.deliveries.leave(addresses & online, self.hand_over)
            online -= addresses
        return {f"{verb}d": service.name, "addresses": len(addresses)}

    def hand_over(self, accepted: Accepted) -> None:
        if self._writer.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self._writer.transport.abort()
        else:
            self._writer.write(_line({"message": accepted.to_json()}))

    def leave(self) -> None:
        for name, addresses in self._online.items():
            self._services[name].deliveries.leave(addresses, self.hand_over)


class DeviceStream:
    """A fleet's end: `async with DeviceStream.opened(url) as stream`, then `async for message in stream.messages()`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._messages: asyncio.Queue[Accepted | None] = asyncio.Queue()
        self._orders: deque[asyncio.Future[None]] = deque()

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str) -> AsyncIterator[Self]:
        host, _, port = url.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=MAX_LINE_BYTES)
        stream = cls(reader, writer)
        reading = asyncio.get_running_loop().create_task(stream._read())
        try:
            yield stream
        finally:
            reading.cancel()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def subscribe(self, service: str, addresses: Iterable[str]) -> None:
        """These devices are online when this returns. Raise ValueError for what the services do not understand."""
        await self._order({"subscribe": service, "addresses": list(addresses)})

    async def unsubscribe(self, service: str, addresses: Iterable[str]) -> None:
        """These devices are offline when this returns; what came before is still among the messages."""
        await self._order({"unsubscribe": service, "addresses": list(addresses)})

    async def messages(self) -> AsyncIterator[Accepted]:
        """What the services took for these devices, until the connection ends."""
        while (message := await self._messages.get()) is not None:
            yield message

    async def _order(self, order: dict[str, Any]) -> None:
        done = asyncio.get_running_loop().create_future()
        self._orders.append(done)
        self._writer.write(_line(order))
        await self._writer.drain()
        await done

    async def _read(self) -> None:
        async for line in _lines(self._reader):
            content = json.loads(line)
            if "message" in content:
                self._messages.put_nowait(Accepted(**content["message"]))
            elif "error" in content:
                self._orders.popleft().set_exception(ValueError(content["error"]))
            else:
                self._orders.popleft().set_result(None)
        self._messages.put_nowait(None)
        for order in self._orders:
            order.set_exception(ConnectionError("the services closed the connection"))


def _text(address: Any) -> str:
    if not isinstance(address, str):
        raise TypeError("an address is a text")
    return address


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines until the other side closes or breaks off."""
    while True:
        try:
            line = await reader.readuntil()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            return
        yield line


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
