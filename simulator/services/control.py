"""The control port: plain HTTP on 127.0.0.1, JSON in and out.

GET    /services                                     how each is reached, and with which credentials
GET    /faults                                       those in force, with their numbers
POST   /faults     {"service": "fcm", "do": "answer", "status": 503, ...}   201 with its number; see faults.Fault
DELETE /faults?service=fcm&number=3                  end one, those of a service, or all
GET    /counts                                       sums per service
DELETE /counts                                       begin again at 0
GET    /accepted?service=fcm                         how often each message_id was accepted
POST   /addresses  {"service": "fcm", "count": 100}  201 with new addresses
DELETE /addresses  {"service": "fcm", "addresses": [...]}   gone for good
DELETE /tokens?service=fcm                           no access token given so far is taken any more
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from simulator.services.faults import Fault
from simulator.services.fcm import EmulatedFcm
from simulator.services.http1 import Http1Connection
from simulator.services.service import EmulatedService
from simulator.services.web_push import EmulatedWebPush
from simulator.services.wire import Answer, Exchange, Request, json_answer
from simulator.services.wns import EmulatedWns

MAX_NEW_ADDRESSES = 100_000

Asked = Mapping[str, Any]
"""The query's pairs and the body's keys together."""


class ControlPort:
    """`described` is what GET /services answers."""

    def __init__(
        self, services: Mapping[str, EmulatedService], described: Callable[[], dict[str, Any]], *, port: int = 0
    ) -> None:
        self.port = port
        self._services = services
        self._described = described
        self._connections: set[Http1Connection] = set()
        self._routes: dict[tuple[str, str], Callable[[Asked], Answer]] = {
            ("GET", "/services"): lambda asked: json_answer(200, self._described()),
            ("GET", "/faults"): self._faults,
            ("POST", "/faults"): self._add_fault,
            ("DELETE", "/faults"): self._end_faults,
            ("GET", "/counts"): self._counts,
            ("DELETE", "/counts"): self._clear_counts,
            ("GET", "/accepted"): self._accepted,
            ("POST", "/addresses"): self._new_addresses,
            ("DELETE", "/addresses"): self._retire,
            ("DELETE", "/tokens"): self._expire_tokens,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for connection in tuple(self._connections):
            connection.reset()

    def _connection(self) -> Http1Connection:
        connection = Http1Connection(self._received, lambda lost: self._connections.discard(connection))
        self._connections.add(connection)
        return connection

    def _received(self, exchange: Exchange) -> None:
        exchange.answer(self._answer(exchange.request))

    def _answer(self, request: Request) -> Answer:
        parts = urlsplit(request.path)
        route = self._routes.get((request.method, parts.path))
        if route is None:
            return json_answer(404, {"detail": f"no {request.method} {parts.path} here"})
        content = request.form() if request.body else {}
        if not isinstance(content, dict):
            return json_answer(400, {"detail": "the body is not a JSON object"})
        try:
            return route({**dict(parse_qsl(parts.query)), **content})
        except (ValueError, TypeError) as problem:
            return json_answer(400, {"detail": str(problem)})

    # The routes. A ValueError or TypeError in them is the caller's mistake.

    def _faults(self, asked: Asked) -> Answer:
        running = [
            {"service": service.name, "number": each.number, "met": each.met, **each.fault.to_json()}
            for service in self._chosen(asked)
            for each in service.faults.in_force()
        ]
        return json_answer(200, {"faults": running})

    def _add_fault(self, asked: Asked) -> Answer:
        fault = Fault.from_json({name: value for name, value in asked.items() if name != "service"})
        return json_answer(201, {"number": self._one(asked).misbehaves(fault)})

    def _end_faults(self, asked: Asked) -> Answer:
        number = int(asked["number"]) if "number" in asked else None
        return json_answer(200, {"ended": sum(service.heals(number) for service in self._chosen(asked))})

    def _counts(self, asked: Asked) -> Answer:
        return json_answer(200, {service.name: service.summary() for service in self._chosen(asked)})

    def _clear_counts(self, asked: Asked) -> Answer:
        for service in self._chosen(asked):
            service.clear_counts()
        return json_answer(200, {})

    def _accepted(self, asked: Asked) -> Answer:
        return json_answer(200, {service.name: service.deliveries.counts for service in self._chosen(asked)})

    def _new_addresses(self, asked: Asked) -> Answer:
        service, count = self._one(asked), int(asked.get("count", 1))
        if not 1 <= count <= MAX_NEW_ADDRESSES:
            raise ValueError(f"count is 1 to {MAX_NEW_ADDRESSES}")
        make = service.new_address
        if isinstance(service, EmulatedWebPush):
            make = partial(service.new_address, str(asked.get("application_server_key", "")))
        return json_answer(201, {"addresses": [make() for _ in range(count)]})

    def _retire(self, asked: Asked) -> Answer:
        addresses = list(asked.get("addresses", ()))
        self._one(asked).retire(addresses)
        return json_answer(200, {"retired": len(addresses)})

    def _expire_tokens(self, asked: Asked) -> Answer:
        service = self._one(asked)
        if not isinstance(service, EmulatedFcm | EmulatedWns):
            raise ValueError(f"{service.name} gives no access tokens")
        service.tokens.expire_all()
        return json_answer(200, {})

    def _one(self, asked: Asked) -> EmulatedService:
        name = str(asked.get("service", ""))
        if name not in self._services:
            raise ValueError(f"service is one of {', '.join(self._services)}")
        return self._services[name]

    def _chosen(self, asked: Asked) -> Iterable[EmulatedService]:
        return [self._one(asked)] if "service" in asked else list(self._services.values())
