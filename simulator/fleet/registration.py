"""How a device comes to be: it provisions itself with its site's bootstrap key, says what it is, names its channels.

As a real agent would: over HTTP, again after every failure, with a key that is on disk before it is used.
"""

import asyncio
import logging
import secrets
from datetime import UTC, datetime

from simulator.fleet.device import FCM, MQTT, PUSH_SERVICES, SIMULATION, Identity
from simulator.fleet.plan import Place
from simulator.fleet.push_services import Addresses
from simulator.fleet.roster import Roster
from simulator.fleet.server import Answer, Away, Server

log = logging.getLogger(__name__)

AFTER_REFUSAL_S = 30.0
"""Somebody has to put something right first: the site, or its key."""


class Registration:
    """Makes devices out of places, and recognises those of an earlier run."""

    def __init__(
        self, server: Server, roster: Roster, addresses: Addresses, bootstrap_key: str, *, check_known: bool
    ) -> None:
        self._server = server
        self._roster = roster
        self._addresses = addresses
        self._bootstrap_key = bootstrap_key
        self._check_known = check_known
        self._refusals: set[str] = set()

    async def enrol(self, place: Place) -> Identity:
        """The device of this place, known to the server with its channel when this returns."""
        identity = self._roster.find(place.site_id, place.name)
        while True:
            if identity is None:
                identity = await self._provision(place)
                self._roster.keep(place.name, identity)
            if await (self._still_known(identity) if identity.registered else self._introduce(place, identity)):
                return identity
            identity = None

    async def heartbeat(self, identity: Identity, at: datetime) -> Answer | None:
        """Say once that the device is there, and what its clock says; None when no answer comes."""
        body = _heartbeat(identity, at)
        try:
            return await self._server.call("POST", "/agent/heartbeat", body, headers=identity.headers)
        except Away:
            return None

    async def describe(self, place: Place, identity: Identity, firmware_version: str = "") -> Answer:
        """Say what the device is, with the firmware of its plan or another one."""
        said = _dna(place, identity)
        if firmware_version:
            said["firmware_version"] = firmware_version
        return await self._server.insist("POST", "/agent/device-dna", said, headers=identity.headers)

    async def readdress(self, place: Place, identity: Identity) -> bool:
        """Take another address of its push service and tell the server; whether it has one now."""
        address = await self._addresses.insist(identity.channel)
        answer = await self._put_channel(identity, identity.channel, address, 0)
        if answer.status not in (200, 201):
            self._say_once(f"a new {identity.channel} address was refused", answer)
            return False
        identity.address = address
        self._roster.keep(place.name, identity)
        return True

    async def _put_channel(self, identity: Identity, provider: str, address: str, rank: int) -> Answer:
        return await self._server.insist(
            "PUT",
            f"/devices/{identity.device_id}/channels/{provider}",
            {"address": address, "rank": rank, "capabilities": capabilities_of(provider, address)},
            headers=identity.headers,
        )

    async def _still_known(self, identity: Identity) -> bool:
        """Whether the server, whose database may be a new one, knows the device of an earlier run."""
        if not self._check_known:
            return True
        body = _heartbeat(identity, datetime.now(UTC))
        answer = await self._server.insist("POST", "/agent/heartbeat", body, headers=identity.headers)
        return answer.status != 401

    async def _provision(self, place: Place) -> Identity:
        name = place.name
        while True:
            answer = await self._server.insist(
                "POST",
                "/devices/bootstrap-provision",
                {
                    "site_id": place.site_id,
                    "bootstrap_key": self._bootstrap_key,
                    "device_name": name,
                    "device_type": place.model.device_type,
                    "os_details": place.model.os_details,
                    "provisioning_source": "simulated",
                },
            )
            if answer.status == 200:
                given = answer.data["data"]
                return Identity(
                    device_id=given["device_id"],
                    api_key=given["api_key"],
                    site_id=place.site_id,
                    name=name,
                    channel=place.channel,
                    mqtt_fallback=place.mqtt_fallback,
                )
            if answer.status == 400:
                # taken by another fleet, or by this one before its roster was lost
                name = f"{place.name} ({secrets.token_hex(2)})"
            else:
                self._say_once(f"no device can be provisioned for {place.site_id}", answer)
                await asyncio.sleep(AFTER_REFUSAL_S)

    async def _introduce(self, place: Place, identity: Identity) -> bool:
        """Tell the server about the device and its channels. False: it does not know this device (any more)."""
        answer = await self.describe(place, identity)
        if answer.status == 401:
            return False
        if answer.status != 200:
            self._say_once("a device's DNA was refused", answer)
        if identity.channel in PUSH_SERVICES and not identity.address:
            identity.address = await self._addresses.insist(identity.channel)
            self._roster.keep(place.name, identity)
        for rank, (provider, address) in enumerate(channels_of(identity)):
            answer = await self._put_channel(identity, provider, address, rank)
            if answer.status not in (200, 201):
                self._say_once(f"a {provider} channel was refused", answer)
                return answer.status != 401
        identity.registered = True
        self._roster.keep(place.name, identity)
        return True

    def _say_once(self, what: str, answer: Answer) -> None:
        if what not in self._refusals:
            self._refusals.add(what)
            log.warning("%s: status %s, %.300s", what, answer.status, answer.data)


def _heartbeat(identity: Identity, at: datetime) -> dict[str, object]:
    return {
        "device_id": identity.device_id,
        "site_id": identity.site_id,
        "status": "ONLINE",
        "timestamp": at.isoformat(),
    }


def _dna(place: Place, identity: Identity) -> dict[str, object]:
    return {
        "device_id": identity.device_id,
        "site_id": identity.site_id,
        "device_name": identity.name,
        "device_type": place.model.device_type,
        "os_details": place.model.os_details,
        "firmware_version": place.model.firmware_version,
        "device_source": "simulated",
    }


def channels_of(identity: Identity) -> list[tuple[str, str]]:
    """Provider and address of each of its channels, by rank; none for a device that only polls."""
    channels: list[tuple[str, str]] = []
    if identity.channel in PUSH_SERVICES:
        channels.append((identity.channel, identity.address))
    if identity.channel == SIMULATION:
        channels.append((SIMULATION, f"simulated:{identity.device_id}"))
    if identity.listens_on_mqtt:
        channels.append((MQTT, identity.device_id))
    return channels


def capabilities_of(provider: str, address: str) -> dict[str, str]:
    """What an agent declares with a channel."""
    name = {FCM: "fcm_token", MQTT: "mqtt_client_id"}.get(provider)
    return {name: address} if name else {}
