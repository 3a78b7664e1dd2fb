"""A TCP proxy between a client and a server of ours, which loses what it is told to lose and keeps the connections."""

import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from tests.processes import free_port

Loses = Callable[[bytes], bool]


class Proxy:
    """`loses` is asked about each piece that a client sends; of a connection that lost one, nothing comes through."""

    def __init__(self, server_port: int) -> None:
        self.port = free_port()
        self.loses: Loses = lambda _piece: False
        self.loses_answer_to: Loses = lambda _piece: False
        """Such a piece gets through; the connection ends when it is answered, without the answer."""
        self._server_port = server_port
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self._closing = threading.Event()
        self._connections: list[Connection] = []

    def swallow(self) -> None:
        """Connections that are open now stay open, and nothing comes through them any more."""
        for connection in self._connections:
            connection.lost.set()

    def drop(self) -> None:
        """Connections that are open now end, and both ends are told."""
        for connection in self._connections:
            connection.end()
        self._connections.clear()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._listening.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            with suppress(OSError):
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                connection = Connection(client, server, self)
                self._connections.append(connection)
                threading.Thread(target=connection.carry, daemon=True).start()


class Connection:
    def __init__(self, client: socket.socket, server: socket.socket, proxy: Proxy) -> None:
        self.lost = threading.Event()
        self._client = client
        self._server = server
        self._proxy = proxy
        self._ends_with_answer = False

    def carry(self) -> None:
        with selectors.DefaultSelector() as ready, suppress(OSError, ValueError):
            ready.register(self._client, selectors.EVENT_READ, self._server)
            ready.register(self._server, selectors.EVENT_READ, self._client)
            while True:
                for key, _ in ready.select():
                    came_from, goes_to = key.fileobj, key.data
                    assert isinstance(came_from, socket.socket)
                    piece = came_from.recv(65_536)
                    if not piece or (came_from is self._server and self._ends_with_answer):
                        self.close()
                        return
                    if came_from is self._client:
                        self._look_at(piece)
                    if not self.lost.is_set():
                        goes_to.sendall(piece)

    def end(self) -> None:
        """Also wakes the thread that carries."""
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _look_at(self, piece: bytes) -> None:
        if self._proxy.loses(piece):
            self.lost.set()
        if self._proxy.loses_answer_to(piece):
            self._ends_with_answer = True

    def close(self) -> None:
        self._client.close()
        self._server.close()
