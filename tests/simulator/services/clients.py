"""Clients that share no code with the services: the standard library's HTTP and TLS, h2 as a client, PyJWT."""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import jwt

from simulator.services.apns import EmulatedApns
from simulator.services.fcm import EmulatedFcm
from simulator.services.wns import EmulatedWns

WAIT_S = 20.0
FCM_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Https:
    """One kept connection over HTTP/1.1."""

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        parts = urlsplit(url)
        host, port = str(parts.hostname), parts.port
        self._connection: http.client.HTTPConnection
        if ca_file:
            context = ssl.create_default_context(cafile=ca_file)
            self._connection = http.client.HTTPSConnection(host, port, context=context, timeout=WAIT_S)
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=WAIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def post(self, url: str, body: bytes | str = b"", headers: Mapping[str, str] | None = None) -> Reply:
        return self.ask("POST", url, body, headers)

    def ask(self, method: str, url: str, body: bytes | str = b"", headers: Mapping[str, str] | None = None) -> Reply:
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self._connection.request(method, path, body, dict(headers or {}))
        response = self._connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, response.read())

    def form(self, url: str, fields: Mapping[str, str]) -> Reply:
        return self.post(url, urlencode(fields), {"content-type": "application/x-www-form-urlencoded"})


def is_reset_after(request: bytes, port: int, ca_file: Path) -> bool:
    """Does the connection end by a TCP reset (True) or in good order? The `ssl` module shows both as an end of file."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context(cafile=ca_file).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("localhost", port), timeout=WAIT_S) as raw:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65536))
        tls.write(request)
        raw.sendall(outgoing.read())
        try:
            while raw.recv(65536):
                pass
        except ConnectionResetError:
            return True
    return False


class Http2:
    """One connection over HTTP/2, whose frames a test can watch."""

    def __init__(self, port: int, ca_file: Path) -> None:
        context = ssl.create_default_context(cafile=ca_file)
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection(("localhost", port), timeout=WAIT_S)
        self._socket = context.wrap_socket(raw, server_hostname="localhost")
        assert self._socket.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.events: list[h2.events.Event] = []
        self.h2.initiate_connection()
        self._flush()
        self.wait(lambda: self.seen(h2.events.RemoteSettingsChanged))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def stream_limit(self) -> int:
        return self.h2.remote_settings.max_concurrent_streams

    def begin(self, path: str, headers: Mapping[str, str], body: bytes, method: str = "POST") -> int:
        """Send a whole request and wait for nothing; the stream's id. Heeds no stream limit."""
        announced = self.h2.remote_settings
        self.h2.remote_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2**31 - 1}
        )
        stream_id = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        self.h2.send_headers(stream_id, [*pseudo, *headers.items()], end_stream=not body)
        if body:
            self.h2.send_data(stream_id, body, end_stream=True)
        self.h2.remote_settings = announced
        self._flush()
        return stream_id

    def cancel(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        self.h2.reset_stream(stream_id, code)
        self._flush()

    def reply(self, stream_id: int) -> Reply:
        self.wait(lambda: self.ended(stream_id))
        events = [event for event in self.events if getattr(event, "stream_id", None) == stream_id]
        [response] = [event for event in events if isinstance(event, h2.events.ResponseReceived)]
        names: dict[str, str] = dict(response.headers or [])  # type: ignore[arg-type]  # decoded by header_encoding
        body = b"".join(event.data or b"" for event in events if isinstance(event, h2.events.DataReceived))
        return Reply(int(names[":status"]), names, body)

    def ask(self, path: str, headers: Mapping[str, str], body: bytes, method: str = "POST") -> Reply:
        return self.reply(self.begin(path, headers, body, method))

    def seen(self, kind: type[h2.events.Event]) -> bool:
        return any(isinstance(event, kind) for event in self.events)

    def ended(self, stream_id: int) -> bool:
        return any(isinstance(event, h2.events.StreamEnded) and event.stream_id == stream_id for event in self.events)

    def resets(self) -> list[int]:
        return [event.stream_id for event in self.events if isinstance(event, h2.events.StreamReset)]

    def wait(self, done: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while not done():
            assert time.monotonic() < deadline_s, "the service did not do what was waited for"
            data = self._socket.recv(65536)
            assert data, "the service closed the connection"
            for event in self.h2.receive_data(data):
                self.events.append(event)
                if isinstance(event, h2.events.ConnectionTerminated):
                    # h2 reads nothing after a GOAWAY; RFC 9113, 6.8 lets the streams below it finish.
                    self.h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
                if isinstance(event, h2.events.DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self._flush()

    def _flush(self) -> None:
        self._socket.sendall(self.h2.data_to_send())


def service_account(fcm: EmulatedFcm) -> dict[str, str]:
    account: dict[str, str] = json.loads(fcm.service_account_file.read_text())
    return account


def grant(account: Mapping[str, str], **changes: Any) -> dict[str, str]:
    """The form that asks Google's token endpoint for an access token."""
    now_s = int(time.time())
    claims = {"iss": account["client_email"], "aud": account["token_uri"], "iat": now_s, "exp": now_s + 3600}
    assertion = jwt.encode({**claims, "scope": FCM_SCOPE, **changes}, account["private_key"], algorithm="RS256")
    return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}


def fcm_token(fcm: EmulatedFcm) -> str:
    with Https(fcm.url, fcm.ca_file) as client:
        return str(client.form("/token", grant(service_account(fcm))).json()["access_token"])


def send_path(fcm: EmulatedFcm) -> str:
    return f"/v1/projects/{fcm.project_id}/messages:send"


def apns_jwt(apns: EmulatedApns, *, key: str = "", key_id: str = "", **changes: Any) -> str:
    claims = {"iss": apns.team_id, "iat": int(time.time()), **changes}
    headers = {"kid": key_id or apns.key_id}
    return jwt.encode(claims, key or apns.key_file.read_text(), algorithm="ES256", headers=headers)


def wns_token(wns: EmulatedWns) -> str:
    credentials = json.loads(wns.credentials_file.read_text())
    fields = {
        "grant_type": "client_credentials",
        "client_id": credentials["client_id"],
        "client_secret": credentials["client_secret"],
        "scope": "https://wns.windows.com/.default",
    }
    with Https(wns.url, wns.ca_file) as client:
        return str(client.form(wns.entra_token_url, fields).json()["access_token"])
