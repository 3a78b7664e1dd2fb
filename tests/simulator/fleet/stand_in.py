"""The part of the product's HTTP API that a fleet uses, in memory, on a real socket, with faults on demand."""

import asyncio
from collections import Counter, defaultdict
from secrets import token_hex
from types import TracebackType
from typing import Any, Self

from aiohttp import web

BOOTSTRAP_KEY = "hpb_of-the-stand-in"
API_KEY = "hpk_of-the-stand-in"


class StandIn:
    """Remembers what it was told. `answers_with` lists statuses that its next answers take instead, one by one."""

    def __init__(self) -> None:
        self.devices: dict[str, dict[str, Any]] = {}
        self.channels: dict[str, str] = {}
        self.registered: dict[tuple[str, str], dict[str, Any]] = {}
        """What was said of each device's channel of each provider."""
        self.firmware: dict[str, str | None] = {}
        """What each device said it runs."""
        self.acks: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.inboxes: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.requests: Counter[str] = Counter()
        self.answers_with: list[tuple[str, int]] = []
        self.retry_after_s = 0
        self.hangs = False
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._fault])
        app.add_routes(
            [
                web.post("/api/v1/devices/bootstrap-provision", self._provision),
                web.post("/api/v1/agent/device-dna", self._known_device),
                web.post("/api/v1/agent/heartbeat", self._known_device),
                web.put("/api/v1/devices/{id}/channels/{provider}", self._channel),
                web.get("/api/v1/push/pending", self._pending),
                web.post("/api/v1/push/ack", self._ack),
                web.post("/api/v1/push/ack/batch", self._ack_batch),
                web.post("/api/v1/jobs", self._job),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hangs = False
        await self._runner.cleanup()

    def fails_with(self, status: int, path: str = "", *, times: int = 1) -> None:
        """The next requests whose path ends so get this status; 0 hangs up after the work was done."""
        self.answers_with += [(path, status)] * times

    @web.middleware
    async def _fault(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests[request.path.removeprefix("/api/v1")] += 1
        while self.hangs:  # noqa: ASYNC110  (until the caller gives up)
            await asyncio.sleep(0.05)
        for index, (path, status) in enumerate(self.answers_with):
            if request.path.endswith(path):
                del self.answers_with[index]
                if status == 0:
                    await handler(request)
                    assert request.transport is not None
                    request.transport.abort()
                return web.json_response(
                    {"detail": "on demand"}, status=status or 500, headers={"Retry-After": str(self.retry_after_s)}
                )
        response = await handler(request)
        assert isinstance(response, web.StreamResponse)
        return response

    async def _provision(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if asked["bootstrap_key"] != BOOTSTRAP_KEY:
            return refusal(401)
        device_id, api_key = f"device-{token_hex(4)}", f"hp_{token_hex(4)}"  # brokers remember ids from test to test
        for known_id, device in self.devices.items():
            if (device["site_id"], device["device_name"]) == (asked["site_id"], asked["device_name"]):
                if device["used"]:
                    return refusal(400)
                device_id = known_id
        self.devices[device_id] = {**asked, "api_key": api_key, "used": False}
        return success({"device_id": device_id, "api_key": api_key, "site_id": asked["site_id"]})

    async def _known_device(self, request: web.Request) -> web.Response:
        device = self._device(request)
        if device is None:
            return refusal(401)
        said = await request.json()
        assert said["device_id"] == request.headers["X-Device-ID"]
        self.firmware[said["device_id"]] = said.get("firmware_version", self.firmware.get(said["device_id"]))
        return success({})

    async def _channel(self, request: web.Request) -> web.Response:
        if self._device(request) is None:
            return refusal(401)
        said = await request.json()
        assert said["address"]
        self.channels[request.match_info["id"]] = request.match_info["provider"]
        self.registered[request.match_info["id"], request.match_info["provider"]] = said
        return web.json_response({}, status=201)

    async def _pending(self, request: web.Request) -> web.Response:
        if self._device(request) is None:
            return refusal(401)
        device_id = request.headers["X-Device-ID"]
        waiting = [push for push in self.inboxes[device_id] if push["message_id"] not in self.acks]
        return web.json_response({"device_id": device_id, "pushes": waiting})

    async def _ack(self, request: web.Request) -> web.Response:
        ack = await request.json()
        if "ack_token" not in ack and self._device(request) is None:
            return refusal(401)
        self.acks[ack["message_id"]].append(ack)
        return web.json_response({"status": "acknowledged"})

    async def _ack_batch(self, request: web.Request) -> web.Response:
        results = []
        for ack in await request.json():
            proved = ack.get("ack_token") != "wrong"
            if proved:
                self.acks[ack["message_id"]].append(ack)
            results.append({"message_id": ack["message_id"], "status": "acknowledged" if proved else "rejected"})
        return web.json_response({"results": results})

    async def _job(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {API_KEY}":
            return refusal(401)
        self.jobs.setdefault(request.headers["Idempotency-Key"], await request.json())
        return web.json_response({}, status=202)

    def _device(self, request: web.Request) -> dict[str, Any] | None:
        device = self.devices.get(request.headers.get("X-Device-ID", ""))
        if device is None or request.headers.get("X-API-Key") != device["api_key"]:
            return None
        device["used"] = True
        return device


def success(data: dict[str, Any]) -> web.Response:
    return web.json_response({"status": "success", "message": "", "data": data})


def refusal(status: int) -> web.Response:
    return web.json_response({"detail": "refused", "status_code": status}, status=status)
