"""Jobs ordered now and then."""

import asyncio
from random import Random

from simulator.fleet.orders import Orders
from tests.simulator.fleet.conftest import served, until
from tests.simulator.fleet.stand_in import API_KEY, StandIn


def test_orders_one_job_however_often_it_has_to_ask() -> None:
    async def run() -> tuple[StandIn, Orders]:
        async with served() as (stand_in, server):
            stand_in.fails_with(0, "/jobs")
            stand_in.fails_with(429, "/jobs")
            orders = Orders(server, API_KEY, ["site-001"], every_s=0.01, rng=Random(1))
            ordering = asyncio.create_task(orders.run())
            await until(lambda: orders.accepted >= 2)
            ordering.cancel()
            return stand_in, orders

    stand_in, orders = asyncio.run(run())

    assert len(stand_in.jobs) == orders.accepted
    assert stand_in.requests["/jobs"] == orders.accepted + 2
    assert {order["target"]["sites"][0] for order in stand_in.jobs.values()} == {"site-001"}
