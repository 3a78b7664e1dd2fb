"""What befalls a device: its network goes and comes back, it reboots, its push service gives it another address.

While a device is away nothing reaches it: MQTT with a connection of its own keeps its messages, whatever else came
for it is lost, as it is for real devices, and found in the inbox afterwards.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from simulator.fleet.device import PUSH_SERVICES, Device
from simulator.fleet.habits import Habits
from simulator.fleet.listening import Connection
from simulator.fleet.network import Network
from simulator.fleet.plan import Place
from simulator.fleet.push_services import PushStream
from simulator.fleet.registration import Registration

Event = Callable[[Device, Place], Awaitable[None]]


class Life:
    """`ear_of` is a device's own MQTT connection, if it has one; `on_back` is told when a device is there again."""

    def __init__(
        self,
        network: Network,
        habits: Habits,
        rng: Random,
        registration: Registration,
        stream: PushStream,
        *,
        ear_of: Callable[[Device], Connection | None],
        on_back: Callable[[Device], None],
    ) -> None:
        self._network = network
        self._habits = habits
        self._rng = rng
        self._registration = registration
        self._stream = stream
        self._ear_of = ear_of
        self._on_back = on_back
        self.away = 0
        """So many devices are away now."""
        self.departures = self.reboots = self.new_addresses = 0

    def events(self, device: Device) -> list[tuple[float, Event]]:
        """What may befall this device, each with the mean seconds between."""
        found = [(self._network.offline_every_s, self._lose_network), (self._habits.reboot_every_s, self._reboot)]
        if device.identity.channel in PUSH_SERVICES:
            found.append((self._habits.new_address_every_s, self._take_new_address))
        return [(every_s, event) for every_s, event in found if every_s]

    async def live(self, device: Device, place: Place) -> None:
        """One thing after another, until cancelled."""
        events = self.events(device)
        while events:
            waits = [(self._rng.expovariate(1 / every_s), event) for every_s, event in events]
            wait_s, event = min(waits, key=lambda each: each[0])
            await asyncio.sleep(wait_s)
            await event(device, place)

    async def _lose_network(self, device: Device, _place: Place) -> None:
        await self._leave(device, self._rng.expovariate(1 / self._network.offline_for_s))
        self._on_back(device)

    async def _reboot(self, device: Device, place: Place) -> None:
        self.reboots += 1
        await self._leave(device, self._habits.reboot_takes_s)
        await self._registration.describe(place, device.identity, place.model.newest_firmware)
        self._on_back(device)

    async def _take_new_address(self, device: Device, place: Place) -> None:
        before = device.identity.address
        if await self._registration.readdress(place, device.identity):
            self._stream.move(device, before)
            self.new_addresses += 1

    async def _leave(self, device: Device, for_s: float) -> None:
        ear = self._ear_of(device)
        device.away = True
        self.away += 1
        self.departures += 1
        try:
            if ear is not None:
                await ear.pause()
            await asyncio.sleep(for_s)
        finally:
            device.away = False
            self.away -= 1
            if ear is not None:
                ear.resume()
