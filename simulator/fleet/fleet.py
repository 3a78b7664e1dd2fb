"""Many devices on one event loop: they come to be, beat, listen, poll and ack until they are told to stop."""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any
from zlib import crc32

from simulator.fleet import counts
from simulator.fleet.device import INBOX, MQTT, PUSH_SERVICES, Device, read_done, read_message
from simulator.fleet.ledger import FETCHED, PUSHED, Ledger
from simulator.fleet.life import Life
from simulator.fleet.listening import Connection, forgive_closed_sockets
from simulator.fleet.options import Options
from simulator.fleet.orders import Orders
from simulator.fleet.plan import Place
from simulator.fleet.progress import Progress
from simulator.fleet.push_services import Addresses, PushStream
from simulator.fleet.registration import Registration
from simulator.fleet.server import Server
from simulator.fleet.spool import KEEP_S, Spool
from simulator.fleet.troubles import Troubles

log = logging.getLogger(__name__)

ENROLLING = 8
CONNECTING = 20
REPORT_S = 5.0
LOOK_S = 0.25
SELDOM = 8
STOP_S = 1.0


async def run(options: Options, stop: asyncio.Event) -> None:
    """Run a fleet until `stop` is set. Its counts are on disk afterwards, whatever happened."""
    asyncio.get_running_loop().set_exception_handler(forgive_closed_sockets)
    rng = Random(options.seed)
    async with Server(options.server_url, options.network, rng) as server:
        fleet = Fleet(options, server, rng)
        living = asyncio.create_task(fleet.run())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([living, stopping], return_when=asyncio.FIRST_COMPLETED)
            living.cancel()
            await asyncio.wait([living], timeout=STOP_S)
        finally:
            fleet.write_counts()
            stopping.cancel()
        broken = living.exception() if living.done() and not living.cancelled() else None
        if broken is not None and not stop.is_set():  # what breaks while it is torn down says nothing
            raise broken


class Fleet:
    def __init__(self, options: Options, server: Server, rng: Random) -> None:
        self._options = options
        self._server = server
        self._rng = rng
        self._devices: list[Device] = []
        self._ears: dict[Device, Connection] = {}
        self._connecting = asyncio.Semaphore(CONNECTING)
        self._to_drain: asyncio.Queue[Device] = asyncio.Queue()
        self._draining: set[Device] = set()
        self._ledger = Ledger(options.ledger_file)
        self._troubles = Troubles(options.trouble_file)
        self._listening: dict[Device, asyncio.Task[None]] = {}
        self._beating: dict[Device, asyncio.Task[None]] = {}
        self._spool = Spool(
            server,
            options.network,
            rng,
            batch=options.ack_batch,
            publish=self._publish,
            ledger=self._ledger,
            habits=options.habits,
            troubles=self._troubles,
        )
        sites = sorted({place.site_id for place in options.places})
        self._orders = Orders(server, options.api_key, sites, options.jobs_every_s, rng)
        self._stream = PushStream(options.push_services, rng, on_push=self._on_push, troubles=self._troubles)
        self._registration = Registration(
            server,
            options.roster,
            Addresses(options.push_services, rng),
            options.bootstrap_key,
            check_known=options.check_known,
        )
        self._life = Life(
            options.network,
            options.habits,
            rng,
            self._registration,
            self._stream,
            ear_of=self._own_ear,
            on_back=self._on_back,
        )
        self._progress = Progress(
            planned=len(options.places),
            devices=self._devices,
            ears=self._ears,
            stream=self._stream,
            spool=self._spool,
            orders=self._orders,
            life=self._life,
            server=server,
        )
        self._started_at = datetime.now(UTC)
        self._tasks = asyncio.TaskGroup()

    async def run(self) -> None:
        """Until cancelled."""
        async with self._tasks:
            self._tasks.create_task(self._spool.run())
            self._tasks.create_task(self._report())
            self._tasks.create_task(self._enrol_all())
            if self._options.trouble_file is not None:
                self._tasks.create_task(self._look_for_trouble())
            for _ in range(self._options.network.requests_at_once // 2):
                self._tasks.create_task(self._drain_inboxes())
            if self._has_push_services:
                self._tasks.create_task(self._stream.run())
            if self._options.jobs_every_s and self._options.api_key and self._options.places:
                self._tasks.create_task(self._orders.run())

    @property
    def _has_push_services(self) -> bool:
        return any(place.channel in PUSH_SERVICES for place in self._options.places)

    # Coming to be

    async def _enrol_all(self) -> None:
        waiting = iter(self._options.places)
        async with asyncio.TaskGroup() as enrolling:
            for _ in range(ENROLLING):
                enrolling.create_task(self._enrol(waiting))
        if self._options.mqtt_connections:
            self._share_connections(self._options.mqtt_connections)

    async def _enrol(self, waiting: Iterator[Place]) -> None:
        for place in waiting:
            identity = await self._registration.enrol(place)
            clock = self._options.habits.clock(self._rng)
            self._bring_to_life(Device(identity, acks_over_mqtt=place.acks_over_mqtt, clock=clock), place)

    def _bring_to_life(self, device: Device, place: Place) -> None:
        self._devices.append(device)
        if self._life.events(device):
            self._tasks.create_task(self._life.live(device, place))
        self._speak(device)
        if device.identity.channel == INBOX:
            self._tasks.create_task(self._poll(device, self._options.poll_s))
        if device.identity.channel in PUSH_SERVICES:
            self._stream.add(device)
            self._tasks.create_task(self._poll(device, self._options.poll_s * SELDOM))
        self._listen(device)

    async def _look_for_trouble(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._troubles.look():
                for device in self._devices:
                    self._listen(device)
                    self._speak(device)
                if self._has_push_services:
                    await self._stream.look_again()
                print(f"troubles in force: {self._troubles.stamp_ns}", flush=True)

    def _speak(self, device: Device) -> None:
        """Let it beat, or stop in the middle of a heartbeat, as a cut line would."""
        if not self._troubles.connected(device):
            if device in self._beating:
                self._beating.pop(device).cancel()
        elif self._options.heartbeat_s and device not in self._beating:
            self._beating[device] = self._tasks.create_task(self._beat(device))

    def _listen(self, device: Device) -> None:
        """Connect it to the broker, or cut that connection, as its site's network wants it."""
        if not device.identity.listens_on_mqtt or self._options.mqtt_connections:
            return
        if not self._troubles.hears(device, MQTT):
            if device in self._listening:
                self._listening.pop(device).cancel()
        elif device not in self._listening:
            task = self._connect(device.identity.device_id, [device])
            if task is not None:
                self._listening[device] = task

    def _share_connections(self, count: int) -> None:
        """Deal the MQTT devices out by their ids, so that each finds its messages in the same session next time."""
        groups: dict[int, list[Device]] = {number: [] for number in range(count)}
        for device in self._devices:
            if device.identity.listens_on_mqtt:
                groups[crc32(device.identity.device_id.encode()) % count].append(device)
        for number, devices in groups.items():
            self._connect(f"{self._options.roster.name}-{number}-of-{count}", devices)

    def _connect(self, client_id: str, devices: Sequence[Device]) -> asyncio.Task[None] | None:
        if self._options.broker is None:
            return None
        ear = Connection(
            self._options.broker,
            client_id,
            devices,
            self._connecting,
            self._rng,
            on_message=self._on_message,
            on_open=self._on_open,
        )
        self._ears.update(dict.fromkeys(devices, ear))
        return self._tasks.create_task(ear.run())

    async def _beat(self, device: Device) -> None:
        pace_s = self._rng.uniform(0.5, 1.5) * self._options.heartbeat_s
        await asyncio.sleep(self._rng.uniform(0, pace_s))
        while True:
            if not device.away:
                await self._registration.heartbeat(device.identity, self._troubles.time_of(device))
            await asyncio.sleep(pace_s)

    # Getting messages

    def _on_back(self, device: Device) -> None:
        self._spool.back(device)
        self._drain_soon(device)

    def _own_ear(self, device: Device) -> Connection | None:
        return None if self._options.mqtt_connections else self._ears.get(device)

    def _on_message(self, device: Device, topic: str, payload: object) -> None:
        if device.away:
            return
        if topic == "done":
            self._spool.confirm(device, read_done(payload))
        elif message := read_message(payload):
            self._receive(device, message, by=MQTT)

    def _on_push(self, device: Device, message: Mapping[str, Any]) -> None:
        if not device.away:
            self._receive(device, message, by=device.identity.channel)

    def _on_open(self, devices: Sequence[Device], again: bool) -> None:
        """What a broker forgot, or a killed fleet owed, is in the inbox.

        Shared connections look there only after a break: thousands of requests before the first message help nobody.
        """
        if again or not self._options.mqtt_connections:
            for device in devices:
                self._drain_soon(device)

    async def _poll(self, device: Device, every_s: float) -> None:
        await asyncio.sleep(self._rng.uniform(0, every_s))
        while True:
            self._drain_soon(device)
            await asyncio.sleep(every_s)

    def _drain_soon(self, device: Device) -> None:
        if device not in self._draining and not device.away:
            self._draining.add(device)
            self._to_drain.put_nowait(device)

    async def _drain_inboxes(self) -> None:
        while True:
            device = await self._to_drain.get()
            await self._drain(device)
            self._draining.discard(device)

    async def _drain(self, device: Device) -> None:
        """Take what waits in the device's inbox, oldest first."""
        if not self._troubles.connected(device):
            return
        answer = await self._server.insist("GET", "/push/pending", headers=device.identity.headers)
        if answer.status != 200 or not isinstance(answer.data, dict):
            return
        for push in answer.data.get("pushes", []):
            self._receive(device, {**push["payload"], "message_id": push["message_id"]}, by=INBOX)

    def _receive(self, device: Device, message: Mapping[str, Any], *, by: str) -> None:
        pushed = by != INBOX
        ids = {"device_id": device.identity.device_id, "message_id": str(message["message_id"])}
        self._ledger.note(PUSHED if pushed else FETCHED, by=by, **ids)
        give_up_at = asyncio.get_running_loop().time() + KEEP_S
        ack = device.receive(message, pushed=pushed, give_up_at=give_up_at)
        refusal = self._troubles.refusal(device)
        if ack is not None and refusal != "":
            ack.refusal = refusal or ""
            self._spool.add(ack)

    async def _publish(self, device: Device, topic: str, payload: bytes) -> bool:
        ear = self._ears.get(device)
        return ear is not None and await ear.publish(topic, payload)

    # Telling about it

    def write_counts(self) -> None:
        counts.write(self._options.count_file, counts.counted(self._devices, self._server.answers, self._started_at))

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            self.write_counts()
            print(self._progress.line(), flush=True)
