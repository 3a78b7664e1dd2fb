"""A small HTTP server in the place of `/push/ack`: keeps what devices post, and answers as told."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self


class AckServer:
    """Listens on a port that the kernel picked, from `with` to its end."""

    def __init__(self, statuses: tuple[int, ...] = ()) -> None:
        """Answer the first acks with `statuses`, and all later ones with 200."""
        self.acks: list[dict[str, Any]] = []
        self._statuses: Iterator[int] = iter(statuses)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.acks.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(next(outer._statuses, 200))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """The test's output is the test's."""

        self._handler = Handler

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/api/v1/push/ack"

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
