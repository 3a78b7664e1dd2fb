"""HTTP/2 for the emulated services, on h2.

h2 does the framing, the header compression and the flow control. Three things are kept here, because h2 ends the whole
connection where a real push service does something milder: a stream above the limit is refused alone (RFC 9113,
5.1.2), a GOAWAY lets the streams that were begun finish (6.8), and a new stream limit holds from the moment of sending.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame, SettingsFrame

from simulator.services.wire import MAX_REQUEST_BYTES, Answer, Connection, Exchange, Request

CONFIG = h2.config.H2Configuration(
    client_side=False,
    header_encoding="latin-1",
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)
MAX_STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
GOAWAY_GRACE_S = 1.0
"""From the last answer to the end of the connection: closing at once would reset what the client still writes."""
SLOW_ABOVE_BYTES = 16384


class Incoming:
    """A stream whose request has not wholly come."""

    __slots__ = ("body", "headers", "repeated")

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.headers = dict(pairs)
        self.repeated = frozenset() if len(self.headers) == len(pairs) else _repeated(pairs)
        self.body = bytearray()

    def request(self) -> Request:
        return Request(
            method=self.headers.get(":method", ""),
            path=self.headers.get(":path", ""),
            headers=self.headers,
            body=bytes(self.body),
            repeated=self.repeated,
        )


def _repeated(pairs: list[tuple[str, str]]) -> frozenset[str]:
    names = [name for name, _ in pairs]
    return frozenset(name for name in names if names.count(name) > 1)


class Http2Exchange(Exchange):
    __slots__ = ("stream_id",)

    connection: "Http2Connection"

    def __init__(self, connection: "Http2Connection", request: Request, stream_id: int) -> None:
        super().__init__(connection, request)
        self.stream_id = stream_id

    def answer(self, answer: Answer) -> None:
        self.connection.send(self.stream_id, answer)


class Http2Connection(Connection):
    """`go_away_reason` is the JSON that a GOAWAY carries; APNs sends one, others send nothing."""

    def __init__(
        self,
        received: Callable[[Exchange], None],
        lost: Callable[[Connection], None],
        stream_limit: int,
        go_away_reason: bytes,
    ) -> None:
        super().__init__(received, lost)
        self._limit = stream_limit
        self._go_away_reason = go_away_reason
        self._h2 = h2.connection.H2Connection(CONFIG)
        self._incoming: dict[int, Incoming] = {}
        self._open: set[int] = set()
        self._trickles: set[asyncio.Task[None]] = set()
        self._window_grew = asyncio.Event()
        self._reading = False
        self._closing = False
        self._said_goodbye = False
        self._highest_stream_id = 0
        self._last_stream_id: int | None = None
        """Set by a GOAWAY: streams above it are never looked at, and their client may safely send them again."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._h2.local_settings = h2.settings.Settings(client=False, initial_values={MAX_STREAMS: self._limit})
        self._h2.initiate_connection()
        self._h2.local_settings = h2.settings.Settings(client=False, initial_values={MAX_STREAMS: 2**31 - 1})
        self._h2.increment_flow_control_window(2**24)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._open.clear()
        self._incoming.clear()
        for trickle in self._trickles:
            trickle.cancel()

    def data_received(self, data: bytes) -> None:
        self._reading = True
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._flush()
            self.transport.close()
            return
        for event in events:
            # The stream of an event may already be closed by a later event of the same read.
            with suppress(h2.exceptions.ProtocolError):
                self._handle(event)
        self._reading = False
        self._flush()

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._begin(event)
            case h2.events.DataReceived():
                self._collect(event)
            case h2.events.StreamEnded():
                self._dispatch(event.stream_id)
            case h2.events.StreamReset():
                self._forget(event.stream_id)
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._window_grew.set()
            case h2.events.ConnectionTerminated():
                self._flush()
                self.transport.close()
            case _:
                pass

    def _begin(self, event: h2.events.RequestReceived) -> None:
        stream_id = event.stream_id
        if self._last_stream_id is not None and stream_id > self._last_stream_id:
            return
        if len(self._open) >= self._limit:
            self.refused_streams += 1
            self._h2.reset_stream(stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        self._highest_stream_id = stream_id
        self._open.add(stream_id)
        self._incoming[stream_id] = Incoming(event.headers)  # type: ignore[arg-type]  # decoded by header_encoding

    def _collect(self, event: h2.events.DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        incoming = self._incoming.get(event.stream_id)
        if incoming is None:
            return
        incoming.body += event.data
        if len(incoming.body) > MAX_REQUEST_BYTES:
            self._h2.reset_stream(event.stream_id, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            self._forget(event.stream_id)

    def _dispatch(self, stream_id: int) -> None:
        incoming = self._incoming.pop(stream_id, None)
        if incoming is not None:
            self.received(Http2Exchange(self, incoming.request(), stream_id))

    def _forget(self, stream_id: int) -> None:
        self._incoming.pop(stream_id, None)
        self._open.discard(stream_id)
        self._window_grew.set()
        self._close_when_done()

    # Answering.

    def send(self, stream_id: int, answer: Answer) -> None:
        if stream_id not in self._open or self.transport.is_closing():
            return
        try:
            self._send(stream_id, answer)
        except h2.exceptions.ProtocolError:
            self._forget(stream_id)
        if not self._reading:
            self._flush()

    def _send(self, stream_id: int, answer: Answer) -> None:
        body_bytes = answer.length_bytes
        headers = [(":status", str(answer.status)), ("content-length", str(body_bytes)), *answer.headers.items()]
        self._h2.send_headers(stream_id, headers, end_stream=not body_bytes)
        if not body_bytes:
            self._answered(stream_id)
        elif answer.pause_s or body_bytes > min(SLOW_ABOVE_BYTES, self._h2.local_flow_control_window(stream_id)):
            task = asyncio.get_running_loop().create_task(self._send_slowly(stream_id, answer))
            self._trickles.add(task)
            task.add_done_callback(self._trickles.discard)
        else:
            self._h2.send_data(stream_id, answer.body * answer.times, end_stream=True)
            self._answered(stream_id)

    async def _send_slowly(self, stream_id: int, answer: Answer) -> None:
        for _ in range(answer.times):
            rest = memoryview(answer.body)
            while rest:
                room_bytes = await self._room(stream_id)
                if stream_id not in self._open:
                    return
                piece_bytes = 1 if answer.pause_s else room_bytes
                self._h2.send_data(stream_id, bytes(rest[:piece_bytes]))
                rest = rest[piece_bytes:]
                self._flush()
                await asyncio.sleep(answer.pause_s)
        if stream_id in self._open:
            self._h2.end_stream(stream_id)
            self._answered(stream_id)
            self._flush()

    async def _room(self, stream_id: int) -> int:
        """Wait until at least one byte may go out on this stream, or until it is gone."""
        while stream_id in self._open:
            await self._writable.wait()
            room_bytes = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if room_bytes > 0:
                return room_bytes
            self._window_grew.clear()
            await self._window_grew.wait()
        return 0

    def _answered(self, stream_id: int) -> None:
        self._open.discard(stream_id)
        self._close_when_done()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if self._last_stream_id is not None and not self._said_goodbye:
            self._said_goodbye = True
            data += GoAwayFrame(last_stream_id=self._last_stream_id, additional_data=self._go_away_reason).serialize()
        if data:
            self.transport.write(data)

    # What a fault or a policy does.

    def allow_streams(self, limit: int) -> None:
        if limit != self._limit:
            self._limit = limit
            self._flush()
            self.transport.write(SettingsFrame(settings={int(MAX_STREAMS): limit}).serialize())

    def go_away(self) -> None:
        if self._last_stream_id is not None:
            return
        self._last_stream_id = self._highest_stream_id
        if not self._reading:
            self._flush()
        self._close_when_done()

    def _close_when_done(self) -> None:
        if self._last_stream_id is None or self._open or self._closing:
            return
        self._closing = True
        asyncio.get_running_loop().call_later(GOAWAY_GRACE_S, self.transport.close)
