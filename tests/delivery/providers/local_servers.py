"""Small real servers on 127.0.0.1 for what an emulated push service cannot do: be refused, hang, drip, break off.

Each runs on a loop of its own in a thread, so that a test may drive the client under any event loop.
"""

import asyncio
import ipaddress
import logging
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any, Self, TypeVar

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hyperframe.frame import GoAwayFrame

GOAWAY_GRACE_S = 0.5


@dataclass(frozen=True)
class Received:
    """A request as it came in; header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0


logging.getLogger("hpack").setLevel(logging.WARNING)  # else the servers' side logs every header, addresses too

T = TypeVar("T")
Answer = Callable[[Received], Reply]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class LocalServer:
    """Listens on a port that the kernel picked, from `with` to its end."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._talks[task] = writer
        try:
            await self.talk(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            del self._talks[task]
            writer.close()

    async def _close(self) -> None:
        """Also what was accepted a moment ago, and has not begun to talk."""
        self._server.close()
        await asyncio.sleep(0.01)
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for writer in self._talks.values():
                writer.transport.abort()
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.01)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


class Http1Server(LocalServer):
    """HTTP/1.1: each request is answered by `answer`, or, where `talk` is given, by that alone after the request."""

    def __init__(self, answer: Answer = lambda _: Reply(), *, talk: Talk | None = None, tls: bool = False) -> None:
        super().__init__(tls=server_tls() if tls else None)
        self._answer = answer
        self._talk = talk

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            self.received.append(request)
            if self._talk is not None:
                await self._talk(reader, writer)
                return
            reply = self._answer(request)
            await asyncio.sleep(reply.after_s)
            headers = {"content-length": str(len(reply.body)), **reply.headers}
            lines = [f"HTTP/1.1 {reply.status} .", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
            writer.write("\r\n".join(lines).encode() + reply.body)
            await writer.drain()


async def read_request(reader: asyncio.StreamReader) -> Received:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
    return Received(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


class Http2Server(LocalServer):
    """HTTP/2 over TLS as Apple speaks it.

    `strict`: until a connection has answered its first request, every further stream is refused.
    `goaway_every`: after so many requests a connection says GOAWAY, answers what it has, and closes.
    """

    def __init__(self, answer: Answer = lambda _: Reply(), *, strict: bool = False, goaway_every: int = 0) -> None:
        super().__init__(tls=server_tls())
        self._answer = answer
        self._strict = strict
        self._goaway_every = goaway_every
        self.refused = 0
        self.most_at_once = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Http2Connection(self, reader, writer).run()


class _Http2Connection:
    def __init__(self, server: Http2Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.streams: dict[int, tuple[dict[str, str], bytearray]] = {}
        self.unsent: dict[int, bytes] = {}
        self.open: set[int] = set()
        self.warm = not server._strict
        self.taken = 0
        self.leaving = False

    async def run(self) -> None:
        self.h2.initiate_connection()
        self.flush()
        while data := await self.reader.read(65536):
            for event in self.h2.receive_data(data):
                self.on(event)
            self.flush()

    def on(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int() as stream, headers=list() as headers):
                self.streams[stream] = ({str(name): str(value) for name, value in headers}, bytearray())
            case h2.events.DataReceived(stream_id=int() as stream, data=bytes() as data):
                self.streams[stream][1].extend(data)
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, stream)
            case h2.events.StreamEnded(stream_id=int() as stream):
                self.take(stream)
            case h2.events.StreamReset(stream_id=int() as stream):
                self.open.discard(stream)
                self.unsent.pop(stream, None)
            case h2.events.WindowUpdated():
                for stream in list(self.unsent):
                    self.pump(stream)
            case _:
                pass

    def take(self, stream: int) -> None:
        if self.leaving:
            return
        if not self.warm and self.open:
            self.server.refused += 1
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        self.open.add(stream)
        self.taken += 1
        self.server.most_at_once = max(self.server.most_at_once, len(self.open))
        headers, body = self.streams.pop(stream)
        request = Received(headers[":method"], headers[":path"], headers, bytes(body))
        self.server.received.append(request)
        if self.server._goaway_every and self.taken == self.server._goaway_every:
            self.leaving = True
            self.writer.write(self.h2.data_to_send() + goaway_frame(stream))
        reply = self.server._answer(request)
        asyncio.get_running_loop().call_later(reply.after_s, self.reply, stream, reply)

    def reply(self, stream: int, reply: Reply) -> None:
        if stream not in self.open or self.writer.is_closing():
            return
        self.open.discard(stream)
        self.warm = True
        headers = [(":status", str(reply.status)), *reply.headers.items()]
        self.h2.send_headers(stream, headers, end_stream=not reply.body)
        if reply.body:
            self.unsent[stream] = reply.body
            self.pump(stream)
        self.flush()
        if self.leaving and not self.open:
            # Closed at once, what the client has sent meanwhile would turn our last answers into a reset.
            asyncio.get_running_loop().call_later(GOAWAY_GRACE_S, self.writer.close)

    def pump(self, stream: int) -> None:
        """As much of the body as the client lets us send now."""
        while self.unsent.get(stream) and (room := min(self.h2.local_flow_control_window(stream), 16384)) > 0:
            body = self.unsent.pop(stream)
            with suppress(h2.exceptions.StreamClosedError):  # the client had enough; its RST_STREAM comes next
                self.h2.send_data(stream, body[:room], end_stream=len(body) <= room)
                self.unsent[stream] = body[room:]

    def flush(self) -> None:
        if not self.writer.is_closing():
            self.writer.write(self.h2.data_to_send())


def goaway_frame(last_stream: int) -> bytes:
    """Written by hand: h2 would refuse to answer the open streams after its own GOAWAY."""
    return GoAwayFrame(
        0, last_stream_id=last_stream, error_code=0, additional_data=b'{"reason":"Shutdown"}'
    ).serialize()


@dataclass(frozen=True)
class Authority:
    """A certificate authority for `localhost` and `push.example`, made for this run."""

    ca_file: str
    cert_file: str
    key_file: str


@cache
def authority() -> Authority:
    folder = Path(tempfile.mkdtemp(prefix="local-ca-"))
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.pem").write_bytes(_certificate("Local CA", ca_key, ca_key, is_ca=True))
    (folder / "cert.pem").write_bytes(_certificate("localhost", key, ca_key, is_ca=False))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Authority(str(folder / "ca.pem"), str(folder / "cert.pem"), str(folder / "key.pem"))


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, *, is_ca: bool
) -> bytes:
    now = datetime.now(UTC)
    names = [
        x509.DNSName("localhost"),
        x509.DNSName("push.example"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Local CA")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority().cert_file, authority().key_file)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
