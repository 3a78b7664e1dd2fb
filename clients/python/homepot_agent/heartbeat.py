"""Being there, and what time it is: each heartbeat says the one and hears the other."""

import random
from collections.abc import Callable

from homepot_agent import wire
from homepot_agent.backoff import Backoff
from homepot_agent.clock import ServerClock
from homepot_agent.options import Options
from homepot_agent.server import Answer, Server
from homepot_agent.store import Store

WORTH_KEEPING_S = 2.0
LONGEST_BACKOFF_S = 10.0
"""It is also how the device finds out that its network is back."""


class Heartbeat:
    """`on_answer` is told what the server says to each."""

    def __init__(
        self,
        server: Server,
        store: Store,
        clock: ServerClock,
        options: Options,
        on_answer: Callable[[Answer], None],
    ) -> None:
        self._server = server
        self._store = store
        self._clock = clock
        self._options = options
        self._on_answer = on_answer
        self._last_heard = ""
        self.backoff = Backoff(cap_s=LONGEST_BACKOFF_S)

    def step(self) -> float:
        self._store.catch_up()
        key = self._server.key
        assert key is not None, "beats once it has its key"
        asked_at = self._clock.steady_s()
        said = wire.heartbeat(key.device_id, self._options.said.site_id, self._clock.now_s())
        answer = self._server.call("POST", "/agent/heartbeat", said)
        if answer.ok:
            self._hear(answer, asked_at)
        self._on_answer(answer)
        if answer.later:
            return self.backoff.failed(answer.retry_after_s)
        self.backoff.reset()
        return self._options.heartbeat_s * random.uniform(0.9, 1.1)

    def _hear(self, answer: Answer, asked_at: float) -> None:
        """The heartbeat that the server wrote down is the server's time of this moment."""
        data = answer.data.get("data") if isinstance(answer.data, dict) else None
        heard = data.get("last_heartbeat_at") if isinstance(data, dict) else None
        time_s = wire.read_time_s(heard)
        if time_s is not None and heard != self._last_heard:
            self._last_heard = str(heard)
            self._clock.server_said(time_s, asked_at, self._clock.steady_s())
        if abs(self._clock.behind_s - self._store.behind_s) > WORTH_KEEPING_S:
            self._store.remember_behind(self._clock.behind_s)
