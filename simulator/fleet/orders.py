"""Jobs that somebody orders now and then, so that there is something to get: mostly routine, sometimes urgent."""

import asyncio
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from simulator.fleet.server import Server

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What is ordered; `weight` is how often, compared with the others."""

    name: str
    priority: str
    weight: int
    body: str
    data: dict[str, str]


ORDERS = (
    Order("Menu update", "normal", 6, "The new menu is ready to load.", {"action": "load_menu"}),
    Order("Price change", "high", 4, "New prices from today on.", {"action": "load_prices"}),
    Order("Payment configuration", "high", 3, "Apply the new payment configuration.", {"action": "apply_config"}),
    Order("Receipt footer", "low", 3, "Seasonal greetings at the end of each receipt.", {"action": "set_footer"}),
    Order("Shift report", "low", 2, "Send the report of the last shift.", {"action": "send_report"}),
    Order("Card terminal recall", "critical", 1, "Stop taking cards until further notice.", {"action": "stop_cards"}),
)


class Orders:
    """Orders one job for one random site about every `every_s` seconds, with another backend's API key."""

    def __init__(self, server: Server, api_key: str, sites: Sequence[str], every_s: float, rng: Random) -> None:
        self._server = server
        self._api_key = api_key
        self._sites = sites
        self._every_s = every_s
        self._rng = rng
        self.accepted = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._rng.uniform(0.5, 1.5) * self._every_s)
            await self._order()

    async def _order(self) -> None:
        """One job; the key makes it one however often it has to be asked for."""
        answer = await self._server.insist(
            "POST",
            "/jobs",
            self._body(),
            headers={"Authorization": f"Bearer {self._api_key}", "Idempotency-Key": str(uuid.uuid4())},
        )
        if answer.status == 202:
            self.accepted += 1
        else:
            log.warning("a job was refused: status %s, %.300s", answer.status, answer.data)

    def _body(self) -> dict[str, Any]:
        [order] = self._rng.choices(ORDERS, [order.weight for order in ORDERS])
        site_id = self._rng.choice(self._sites)
        return {
            "name": f"{order.name}, {site_id}",
            "target": {"sites": [site_id]},
            "push_notification": {
                "title": order.name,
                "body": order.body,
                "data": order.data,
                "priority": order.priority,
            },
        }
