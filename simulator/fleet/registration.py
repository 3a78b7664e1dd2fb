"""How a device comes to be: it provisions itself with its site's bootstrap key, says what it is, names its channel.

As a real agent would: over HTTP, again after every failure, with a key that is on disk before it is used.
"""

import asyncio
import logging
import secrets
from datetime import UTC, datetime

from simulator.fleet.device import INBOX, MQTT, Identity
from simulator.fleet.plan import Place
from simulator.fleet.roster import Roster
from simulator.fleet.server import Answer, Away, Server

log = logging.getLogger(__name__)

AFTER_REFUSAL_S = 30.0
"""Somebody has to put something right first: the site, or its key."""


class Registration:
    """Makes devices out of places, and recognises those of an earlier run."""

    def __init__(self, server: Server, roster: Roster, bootstrap_key: str, *, check_known: bool) -> None:
        self._server = server
        self._roster = roster
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

    async def heartbeat(self, identity: Identity) -> Answer | None:
        """Say once that the device is there; None when no answer comes."""
        try:
            return await self._server.call("POST", "/agent/heartbeat", _heartbeat(identity), headers=identity.headers)
        except Away:
            return None

    async def _still_known(self, identity: Identity) -> bool:
        """Whether the server, whose database may be a new one, knows the device of an earlier run."""
        if not self._check_known:
            return True
        answer = await self._server.insist("POST", "/agent/heartbeat", _heartbeat(identity), headers=identity.headers)
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
                )
            if answer.status == 400:
                # taken by another fleet, or by this one before its roster was lost
                name = f"{place.name} ({secrets.token_hex(2)})"
            else:
                self._say_once(f"no device can be provisioned for {place.site_id}", answer)
                await asyncio.sleep(AFTER_REFUSAL_S)

    async def _introduce(self, place: Place, identity: Identity) -> bool:
        """Tell the server about the device and its channel. False: it does not know this device (any more)."""
        answer = await self._server.insist("POST", "/agent/device-dna", _dna(place, identity), headers=identity.headers)
        if answer.status == 401:
            return False
        if answer.status != 200:
            self._say_once("a device's DNA was refused", answer)
        if identity.channel != INBOX:
            answer = await self._server.insist(
                "PUT",
                f"/devices/{identity.device_id}/channels/{identity.channel}",
                _channel(identity),
                headers=identity.headers,
            )
            if answer.status not in (200, 201):
                self._say_once(f"a {identity.channel} channel was refused", answer)
                return answer.status != 401
        identity.registered = True
        self._roster.keep(place.name, identity)
        return True

    def _say_once(self, what: str, answer: Answer) -> None:
        if what not in self._refusals:
            self._refusals.add(what)
            log.warning("%s: status %s, %.300s", what, answer.status, answer.data)


def _heartbeat(identity: Identity) -> dict[str, object]:
    return {
        "device_id": identity.device_id,
        "site_id": identity.site_id,
        "status": "ONLINE",
        "timestamp": datetime.now(UTC).isoformat(),
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


def _channel(identity: Identity) -> dict[str, object]:
    capabilities = {"mqtt_client_id": identity.device_id} if identity.channel == MQTT else {}
    return {"address": address_of(identity), "rank": 0, "capabilities": capabilities}


def address_of(identity: Identity) -> str:
    """What its provider knows the device by."""
    return identity.device_id if identity.channel == MQTT else f"simulated:{identity.device_id}"
