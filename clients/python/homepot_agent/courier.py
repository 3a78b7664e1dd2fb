"""Acks on their way: the oldest first, in batches, again after every failure, until the server has committed them."""

import logging
from collections.abc import Callable

from homepot_agent.backoff import Backoff
from homepot_agent.loops import NOTHING_TO_DO_S
from homepot_agent.server import Answer, Server
from homepot_agent.store import Store
from homepot_agent.wire import ACKS_PER_REQUEST, Ack

log = logging.getLogger(__name__)

SETTLED = ("acknowledged", "rejected")
REFUSED_S = 60.0
"""Somebody has to put something right first."""

Publish = Callable[[Ack], bool]
"""Hand an ack to the MQTT broker; False while it is not connected."""


class Courier:
    """Over HTTP; over MQTT what HTTP does not get through, where the message's `ack_token` proves it."""

    def __init__(self, server: Server, store: Store, publish: Publish) -> None:
        self._server = server
        self._store = store
        self._publish = publish
        self.backoff = Backoff()

    def step(self) -> float:
        acks = self._store.owed(ACKS_PER_REQUEST)
        if not acks:
            return NOTHING_TO_DO_S
        assert self._server.key is not None, "acks are owed by a device that has a key"
        device_id = self._server.key.device_id
        proved = all(ack.ack_token for ack in acks)  # then a key that was replaced meanwhile does not matter
        answer = self._server.call("POST", "/push/ack/batch", [ack.body(device_id) for ack in acks], keyed=not proved)
        if answer.status == 200:
            self.backoff.reset()
            return 0.0 if self._settle(acks, answer) else REFUSED_S
        if not answer.later:
            log.warning("acks were refused: %s", answer.text)
            return REFUSED_S
        for ack in acks:
            if not (ack.ack_token and self._publish(ack)):
                break
        return self.backoff.failed(answer.retry_after_s)

    def _settle(self, acks: list[Ack], answer: Answer) -> bool:
        """Rejected is what is malformed or not proved: asking again would not help. False: no word on any of them."""
        results = answer.data.get("results") if isinstance(answer.data, dict) else None
        if not isinstance(results, list) or len(results) != len(acks):
            log.warning("an answer to %d acks that does not name them", len(acks))
            return False
        said = [result if isinstance(result, dict) else {} for result in results]
        for ack, result in zip(acks, said, strict=True):
            if result.get("status") == "rejected":
                log.warning("the ack of %s was rejected: %s", ack.message_id, result.get("detail"))
        settled = [ack for ack, result in zip(acks, said, strict=True) if result.get("status") in SETTLED]
        self._store.confirmed(settled)
        return bool(settled)
