"""Acks on their way: each is repeated, with growing pauses, until the server confirmed it.

Over HTTP a 200 confirms, alone or in batches; over MQTT the id on `devices/{device_id}/acks/done` does. An ack that
MQTT does not get through goes over HTTP in the end.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from random import Random

from simulator.fleet.device import MQTT, Ack, Device
from simulator.fleet.habits import HABITS, Habits
from simulator.fleet.ledger import ACKED, Ledger
from simulator.fleet.network import Network
from simulator.fleet.server import Answer, Away, Server, backoff_s
from simulator.fleet.troubles import Troubles

log = logging.getLogger(__name__)

KEEP_S = 3_600.0
"""A message does not say when it expires: its ack is kept for an hour."""
HTTP = "http"
MQTT_TRIES = 3
CALM = HABITS["calm"]
CONFIRMED_WITHIN_S = 5.0
"""A published ack that is not confirmed after this is published again."""

Publish = Callable[[Device, str, bytes], Awaitable[bool]]
"""Publish for a device, to a topic; False when it is not connected or the broker did not take it."""


class Spool:
    """In memory: what a killed fleet still owed, its devices find in their inbox when they come back."""

    def __init__(
        self,
        server: Server,
        network: Network,
        rng: Random,
        *,
        batch: int,
        publish: Publish,
        ledger: Ledger,
        habits: Habits = CALM,
        troubles: Troubles | None = None,
    ) -> None:
        self._server = server
        self._network = network
        self._rng = rng
        self._batch = batch
        self._publish = publish
        self._ledger = ledger
        self._habits = habits
        self._troubles = troubles or Troubles()
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Queue[Ack] = asyncio.Queue()
        self._owed: dict[tuple[str, str], Ack] = {}
        self._waiting: dict[Device, list[Ack]] = {}
        """For their device to be back."""
        self._publishing: set[asyncio.Task[None]] = set()
        self.repeated = 0
        """Acks that were sent again for no reason."""
        self.given_up = 0
        """Refused by the server, or not confirmed within the hour."""

    def __len__(self) -> int:
        return len(self._owed)

    def add(self, ack: Ack) -> None:
        """The message is on its last metres; it is acked when the device has it, by some devices late, or twice."""
        self._owed[_key(ack)] = ack
        comes_in_s = sent_in_s = self._troubles.delay_s(ack.device, self._network, self._rng)
        if self._falls(self._habits.late_acks):
            self._loop.call_later(comes_in_s, self._arrive, ack)
            sent_in_s += self._rng.uniform(0, self._habits.late_by_s)
        self._loop.call_later(sent_in_s, self._send, ack)
        if self._falls(self._habits.duplicate_acks):
            self._loop.call_later(sent_in_s + self._rng.uniform(0, self._habits.repeated_within_s), self._repeat, ack)

    def back(self, device: Device) -> None:
        """The device has its network again."""
        for ack in self._waiting.pop(device, []):
            self._send(ack)

    def confirm(self, device: Device, message_ids: Iterable[object]) -> None:
        """The server has committed these acks of the device; saying so twice changes nothing."""
        for message_id in message_ids:
            ack = self._owed.get((device.identity.device_id, str(message_id)))
            if ack is not None:
                self._done(ack, by=MQTT)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as senders:
            for _ in range(self._network.requests_at_once):
                senders.create_task(self._send_over_http())

    def _falls(self, share: float) -> bool:
        """The dice; a calm fleet throws none."""
        return share > 0 and self._rng.random() < share

    def _repeat(self, ack: Ack) -> None:
        self.repeated += 1
        self._hand_over(ack)

    def _send(self, ack: Ack) -> None:
        if _key(ack) not in self._owed:
            return
        if ack.device.away:
            self._waiting.setdefault(ack.device, []).append(ack)
        else:
            self._hand_over(ack)

    def _arrive(self, ack: Ack) -> None:
        ack.arrive(self._troubles.time_of(ack.device))

    def _hand_over(self, ack: Ack) -> None:
        self._arrive(ack)
        if not self._troubles.connected(ack.device):
            self._again(ack, 0.0)
        elif ack.device.acks_over_mqtt and ack.tries < MQTT_TRIES:
            task = self._loop.create_task(self._send_over_mqtt(ack))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)
        else:
            self._ready.put_nowait(ack)

    async def _send_over_mqtt(self, ack: Ack) -> None:
        topic = f"devices/{ack.device.identity.device_id}/acks"
        with suppress(TimeoutError):  # its connection may be lost before the broker answers
            async with asyncio.timeout(CONFIRMED_WITHIN_S):
                await self._publish(ack.device, topic, json.dumps(ack.body(), separators=(",", ":")).encode())
        self._again(ack, CONFIRMED_WITHIN_S)

    async def _send_over_http(self) -> None:
        while True:
            acks = [await self._ready.get()]
            while len(acks) < self._batch and not self._ready.empty():
                acks.append(self._ready.get_nowait())
            try:
                answer = await (self._post_one(acks[0]) if self._batch == 1 else self._post_batch(acks))
            except Away:
                self._all_again(acks)
                continue
            if answer.later:
                self._all_again(acks, answer.retry_after_s)
            elif self._batch == 1:
                self._settle(acks[0], answer.status == 200, answer)
            else:
                self._settle_batch(acks, answer)

    async def _post_one(self, ack: Ack) -> Answer:
        proof = {} if ack.ack_token else ack.device.identity.headers
        return await self._server.call("POST", "/push/ack", ack.body(), headers=proof)

    async def _post_batch(self, acks: list[Ack]) -> Answer:
        return await self._server.call("POST", "/push/ack/batch", [ack.body() for ack in acks])

    def _settle_batch(self, acks: list[Ack], answer: Answer) -> None:
        results = answer.data.get("results", []) if answer.status == 200 and isinstance(answer.data, dict) else []
        said = {str(result.get("message_id")): result.get("status") for result in results}
        for ack in acks:
            self._settle(ack, said.get(ack.message_id) == "acknowledged", answer)

    def _settle(self, ack: Ack, confirmed: bool, answer: Answer) -> None:
        if confirmed:
            self._done(ack, by=HTTP)
        elif self._owed.pop(_key(ack), None):
            self.given_up += 1
            log.warning("an ack was refused with status %s: %.300s", answer.status, answer.data)

    def _done(self, ack: Ack, *, by: str) -> None:
        self._ledger.note(ACKED, by=by, device_id=ack.device.identity.device_id, message_id=ack.message_id)
        if self._owed.pop(_key(ack), None):
            ack.device.acked += 1

    def _all_again(self, acks: list[Ack], floor_s: float = 0.0) -> None:
        for ack in acks:
            self._again(ack, floor_s)

    def _again(self, ack: Ack, floor_s: float) -> None:
        ack.tries += 1
        wait_s = max(floor_s, backoff_s(ack.tries, self._rng))
        if self._loop.time() + wait_s < ack.give_up_at:
            self._loop.call_later(wait_s, self._send, ack)
        elif self._owed.pop(_key(ack), None):
            self.given_up += 1


def _key(ack: Ack) -> tuple[str, str]:
    return ack.device.identity.device_id, ack.message_id
