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
        self._server_port = server_port
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self._closing = threading.Event()
        self._connections: list[Connection] = []

    def swallow(self) -> None:
        """Connections that are open now stay open, and nothing comes through them any more."""
        for connection in self._connections:
            connection.lost.set()

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
                connection = Connection(client, server, lambda piece: self.loses(piece))
                self._connections.append(connection)
                threading.Thread(target=connection.carry, daemon=True).start()


class Connection:
    def __init__(self, client: socket.socket, server: socket.socket, loses: Loses) -> None:
        self.lost = threading.Event()
        self._client = client
        self._server = server
        self._loses = loses

    def carry(self) -> None:
        with selectors.DefaultSelector() as ready, suppress(OSError, ValueError):
            ready.register(self._client, selectors.EVENT_READ, self._server)
            ready.register(self._server, selectors.EVENT_READ, self._client)
            while True:
                for key, _ in ready.select():
                    came_from, goes_to = key.fileobj, key.data
                    assert isinstance(came_from, socket.socket)
                    piece = came_from.recv(65_536)
                    if not piece:
                        self.close()
                        return
                    if came_from is self._client and self._loses(piece):
                        self.lost.set()
                    if not self.lost.is_set():
                        goes_to.sendall(piece)

    def close(self) -> None:
        self._client.close()
        self._server.close()
