"""The wire between the Web Push service and real browsers: the protocol that Firefox speaks to Mozilla's service.

A WebSocket, JSON objects with a `messageType`. The browser says `hello` with its own id, or gets one; `register`s a
channel and gets an endpoint; is sent a `notification` for what was posted there, still encrypted; and `ack`s it. What
came while it was away, or was not acked before its connection broke, waits until it is back.
https://mozilla-services.github.io/autopush-rs/ (read 2026-11-21). Firefox is pointed here by `dom.push.serverURL`.
"""

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any
from uuid import UUID

from aiohttp import WSMsgType, web

from simulator.services.deliveries import Accepted
from simulator.services.web_push import EmulatedWebPush

PROTOCOL = "push-notification"
MAX_LINE_BYTES = 1 << 16
STOP_S = 1.0


class BrowsersPort:
    """The service's end. `url` is what a browser is configured with."""

    def __init__(self, service: EmulatedWebPush, *, port: int = 0) -> None:
        self.port = port
        self.silent = False
        """Whether browsers that register get no answer."""
        self._service = service
        self._endpoints: dict[str, dict[str, str]] = {}
        """Of each browser: the endpoint of each of its channels."""
        self._open: set[web.WebSocketResponse] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        application = web.Application()
        application.router.add_get("/", self._connected)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=STOP_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._disconnect()
        await self._runner.cleanup()

    async def forget(self) -> None:
        """Know no browser any more: each gets a new id when it is back, and has to register anew."""
        self._service.retire([endpoint for channels in self._endpoints.values() for endpoint in channels.values()])
        self._endpoints.clear()
        await self._disconnect()

    async def _disconnect(self) -> None:
        for socket in tuple(self._open):
            await socket.close()

    async def _connected(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(PROTOCOL,), max_msg_size=MAX_LINE_BYTES)
        await socket.prepare(request)
        self._open.add(socket)
        browser = Browser(self, self._service, self._endpoints)
        writing = asyncio.get_running_loop().create_task(_write(socket, browser.outgoing))
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT or not browser.obey(message.data):
                    break
        finally:
            browser.leave()
            self._open.discard(socket)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return socket


async def _write(socket: web.WebSocketResponse, outgoing: "asyncio.Queue[dict[str, Any]]") -> None:
    while True:
        await socket.send_str(json.dumps(await outgoing.get()))


class Browser:
    """One connection."""

    def __init__(self, port: BrowsersPort, service: EmulatedWebPush, endpoints: dict[str, dict[str, str]]) -> None:
        self.outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._port = port
        self._service = service
        self._known = endpoints
        self._channels: dict[str, str] = {}
        self._unacked: dict[str, Accepted] = {}
        self._answers: dict[str, Callable[[dict[str, Any]], None]] = {
            "hello": self._hello,
            "register": self._register,
            "unregister": self._unregister,
            "ack": self._acked,
            "nack": self._nacked,
        }

    def obey(self, text: str) -> bool:
        """Do what the browser asks. False: it does not speak this protocol."""
        try:
            asked = json.loads(text)
            if asked == {}:  # a ping
                self.outgoing.put_nowait({})
            elif asked["messageType"] in self._answers:
                self._answers[asked["messageType"]](asked)
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        return True

    def leave(self) -> None:
        self._service.deliveries.leave(self._channels.values(), self._hand_over)
        for accepted in self._unacked.values():
            self._service.deliveries.give_back(accepted)

    def _hello(self, asked: dict[str, Any]) -> None:
        known_as = asked.get("uaid")
        name = known_as if known_as in self._known else secrets.token_hex(16)
        self._channels = self._known.setdefault(name, {})
        self._say("hello", uaid=name, use_webpush=True, broadcasts={})
        self._service.deliveries.listen(self._channels.values(), self._hand_over)

    def _register(self, asked: dict[str, Any]) -> None:
        if self._port.silent:
            return
        channel = asked["channelID"]
        endpoint = self._service.browser_endpoint(UUID(channel), asked.get("key") or "")
        self._channels[channel] = endpoint
        self._say("register", channelID=channel, pushEndpoint=endpoint)
        self._service.deliveries.listen([endpoint], self._hand_over)

    def _unregister(self, asked: dict[str, Any]) -> None:
        channel = asked["channelID"]
        if channel in self._channels:
            self._service.retire([self._channels.pop(channel)])
        self._say("unregister", channelID=channel)

    def _acked(self, asked: dict[str, Any]) -> None:
        for update in asked["updates"]:
            self._unacked.pop(update["version"], None)

    def _nacked(self, asked: dict[str, Any]) -> None:
        """The browser could not open it, and never will."""
        self._unacked.pop(asked["version"], None)

    def _say(self, kind: str, **more: Any) -> None:
        self.outgoing.put_nowait({"messageType": kind, "status": 200, **more})

    def _hand_over(self, accepted: Accepted) -> None:
        self._unacked[accepted.provider_message_id] = accepted
        channels = {endpoint: channel for channel, endpoint in self._channels.items()}
        encrypted = accepted.payload["encrypted"]
        content = {"data": encrypted, "headers": {"encoding": "aes128gcm"}} if encrypted else {}
        self.outgoing.put_nowait(
            {
                "messageType": "notification",
                "channelID": channels[accepted.address],
                "version": accepted.provider_message_id,
                "ttl": int(accepted.ttl_s),
                **content,
            }
        )
