"""MQTT, to any broker: QoS 1, accepted once the broker's PUBACK is here.

API:    https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html, sections 3.2.2.2 (CONNACK) and 3.4.2.1 (PUBACK)
Limits: what the broker says in its CONNACK (Receive Maximum, Maximum Packet Size), and 128 KiB, which hosted ones take.

Version 5 is asked for first at every connection; a broker that refuses it gets 3.1.1. There a message has no expiry at
the broker and a PUBACK has no reason code.
"""

import asyncio
import json
import logging
import random
import re
import ssl
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from delivery.outcomes import NO_ANSWER, Outcome, OutcomeKind, accepted, no_answer
from delivery.providers.base import ConfigError, Message, Provider, flat
from delivery.providers.mqtt_link import Broker, Closed, Link, Refused
from delivery.providers.template import Templates

log = logging.getLogger(__name__)

UNSUPPORTED_PROTOCOL = 0x84
NOT_AUTHORIZED = 0x87

CONNACKS = {
    0x84: OutcomeKind.MISCONFIGURED,
    0x85: OutcomeKind.MISCONFIGURED,
    0x86: OutcomeKind.MISCONFIGURED,
    0x87: OutcomeKind.MISCONFIGURED,
    0x8A: OutcomeKind.MISCONFIGURED,
    0x8C: OutcomeKind.MISCONFIGURED,
    0x9D: OutcomeKind.MISCONFIGURED,
}
"""What a refused connection means for a message; any other code is RETRY: the broker is busy, full or stopping."""

PUBACKS = {
    0x00: OutcomeKind.ACCEPTED,
    0x10: OutcomeKind.ACCEPTED,
    0x87: OutcomeKind.REJECTED,
    0x90: OutcomeKind.REJECTED,
    0x99: OutcomeKind.REJECTED,
}
"""What the broker's answer to one message means; any other code is RETRY. 0x10: stored, but nobody subscribes."""

DENIED_DEVICES = 20
"""So many devices denied, and no message accepted in between, is our account and not the devices."""

PACKET_OVERHEAD_BYTES = 256
"""More than a PUBLISH adds to its payload: header, topic, packet id, expiry."""

CLIENT_ID = re.compile(r"[!-~]{1,255}")

FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 60.0


class Mqtt(Provider):
    name: ClassVar[str] = "mqtt"
    max_payload_bytes: ClassVar[int] = 131_072

    def __init__(self, broker: Broker, *, window: int = 100, deadline_s: float = 10.0) -> None:
        self._broker = broker
        self._window = window
        self._deadline_s = deadline_s
        self._client_id = f"homepot-{uuid.uuid4().hex[:12]}"
        self._link: Link | None = None
        self._unavailable = no_answer("not connected to the broker yet")
        self._keeper: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._denied: set[str] = set()
        self._told_old_version = False
        self._payloads = Templates(payload)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Keys: `url` (mqtt:// or mqtts://), `ca_file` (PEM, default the system's), `window`, `deadline_s`."""
        url = config.get("url")
        if not url:
            raise ConfigError("MQTT_URL is not set: give it the broker, like mqtt://user:password@host:1883")
        return cls(
            Broker.from_url(url, config.get("ca_file")),
            window=int(config.get("window", 100)),
            deadline_s=float(config.get("deadline_s", 10.0)),
        )

    def check_address(self, address: str) -> None:
        """Any client id will do: messages are published for the device, whatever its connection is called."""
        if not CLIENT_ID.fullmatch(address):
            raise ValueError("an MQTT client id has 1 to 255 visible ASCII characters")

    async def start(self) -> None:
        """Connect and stay connected; returns once the first try succeeded or failed, at once when called again."""
        loop = asyncio.get_running_loop()
        if self._keeper is not None and self._keeper.get_loop() is not loop:
            self._forget()
        if self._keeper is None or self._keeper.done():
            self._tried = asyncio.Event()
            self._keeper = loop.create_task(self._stay_connected())
        await self._tried.wait()

    async def aclose(self) -> None:
        """Disconnect; messages that still wait for their PUBACK end as `no_answer`."""
        keeper = self._keeper
        if keeper is not None and keeper.get_loop() is asyncio.get_running_loop():
            keeper.cancel()
            await asyncio.wait([keeper])
        self._forget()

    async def send_one(self, message: Message) -> Outcome:
        """Publish to `devices/{device_id}/notifications`; with `wake` in the content, wake the agent's commands too."""
        payload = self._payloads.rendered(message)
        link: Link | None = None
        try:
            async with asyncio.timeout(self._deadline_s):
                await self.start()
                if (link := self._link) is None:
                    return self._unavailable
                if len(payload) > min(self.max_payload_bytes, link.max_packet_bytes - PACKET_OVERHEAD_BYTES):
                    return too_large(len(payload))
                if message.content.get("wake") is True:
                    await link.publish(f"devices/{message.device_id}/commands", wake_up(message), message.ttl_s)
                reason = await link.publish(f"devices/{message.device_id}/notifications", payload, message.ttl_s)
        except TimeoutError:
            if link is not None:
                link.close()  # a broker that leaves a PUBLISH unanswered so long is given up
            return no_answer(f"no PUBACK within {self._deadline_s:g} s")
        except Closed:
            return no_answer("the connection to the broker was lost before the PUBACK")
        return self._outcome(message.device_id, reason)

    def _outcome(self, device_id: str, reason: ReasonCode) -> Outcome:
        kind = PUBACKS.get(reason.value, OutcomeKind.RETRY)
        if kind is OutcomeKind.ACCEPTED:
            self._denied.clear()
            return accepted(code=code_of(reason) if reason.value else "")
        if reason.value == NOT_AUTHORIZED:
            if len(self._denied) < DENIED_DEVICES:
                self._denied.add(device_id)
            if len(self._denied) == DENIED_DEVICES:
                kind = OutcomeKind.MISCONFIGURED
        return Outcome(kind=kind, code=code_of(reason), detail="the broker did not take the message")

    def _forget(self) -> None:
        """Leave the connection, also one whose loop has ended."""
        if self._link is not None:
            self._link.drop()
        self._link = self._keeper = None

    async def _stay_connected(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            self._link = await self._connect()
            self._tried.set()
            if self._link is not None:
                backoff_s = FIRST_BACKOFF_S
                try:
                    await self._link.until_lost()
                finally:
                    self._link.close()
                    self._link = None
                self._unavailable = no_answer("the connection to the broker was lost")
                log.warning("the MQTT broker closed the connection")
            await asyncio.sleep(random.uniform(backoff_s / 2, backoff_s))
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)

    async def _connect(self) -> Link | None:
        """One try; what it means for messages in the meantime is kept in `_unavailable`."""
        try:
            return await self._open()
        except Refused as refused:
            kind = CONNACKS.get(refused.reason.value, OutcomeKind.RETRY)
            self._unavailable = Outcome(
                kind=kind, code=code_of(refused.reason), detail="the broker refused the connection; check MQTT_URL"
            )
        except ssl.SSLCertVerificationError as error:
            self._unavailable = Outcome(
                kind=OutcomeKind.MISCONFIGURED, code="certificate", detail=f"{error.verify_message}; check MQTT_CA_FILE"
            )
        except OSError as error:
            self._unavailable = Outcome(
                kind=OutcomeKind.RETRY, code=NO_ANSWER, detail=f"no MQTT broker: {reason_of(error)}"
            )
        log.warning("no connection to the MQTT broker: %s %s", self._unavailable.code, self._unavailable.detail)
        return None

    async def _open(self) -> Link:
        try:
            return await Link.open(self._broker, self._client_id, MQTTProtocolVersion.MQTTv5, self._window)
        except Refused as refused:
            if refused.reason.value != UNSUPPORTED_PROTOCOL:
                raise
        except (Closed, TimeoutError):
            pass  # some brokers hang up on a version that they do not know, or wait for the rest of its CONNECT
        link = await Link.open(self._broker, self._client_id, MQTTProtocolVersion.MQTTv311, self._window)
        if not self._told_old_version:
            self._told_old_version = True
            log.warning("the MQTT broker speaks 3.1.1 only: messages do not expire there, and it gives no reasons")
        return link


def code_of(reason: ReasonCode) -> str:
    """The reason code as the specification writes it, like `0x87 Not authorized`."""
    return f"0x{reason.value:02X} {reason.getName()}"


def reason_of(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, Closed):
        return "it closed the connection"
    return error.strerror or type(error).__name__


def too_large(size_bytes: int) -> Outcome:
    return Outcome(
        kind=OutcomeKind.REJECTED, code="payload_too_large", detail=f"{size_bytes} bytes are more than the broker takes"
    )


def payload(message: Message) -> bytes:
    return json.dumps(flat(message), separators=(",", ":")).encode()


def wake_up(message: Message) -> bytes:
    return json.dumps({"type": "wake", "message_id": message.message_id}).encode()
