"""A network between an agent and its server and broker that a test can cut and mend."""

from typing import Self
from urllib.parse import urlsplit, urlunsplit

from tests.proxy import Proxy


class Network:
    """TCP proxies before a server and a broker. A cut is silent: what is sent is lost, and nobody is told."""

    def __init__(self, server_url: str, mqtt_url: str) -> None:
        self.losses = 0
        """Answers that were lost so far."""
        self._proxies = [Proxy(urlsplit(url).port or 0) for url in (server_url, mqtt_url)]
        self.server_url, self.mqtt_url = (
            _at(url, proxy.port) for url, proxy in zip((server_url, mqtt_url), self._proxies, strict=True)
        )

    def __enter__(self) -> Self:
        for proxy in self._proxies:
            proxy.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self._proxies:
            proxy.__exit__()

    def cut(self, *, server_only: bool = False) -> None:
        """With `server_only` the broker is still there."""
        for proxy in self._proxies[:1] if server_only else self._proxies:
            proxy.loses = lambda _piece: True
            proxy.swallow()

    def drop(self) -> None:
        """Connections of the server that are open now end, and both ends are told."""
        self._proxies[0].drop()

    def mend(self) -> None:
        """What was open stays lost, as behind a router that came back with another address; its ends are told."""
        for proxy in self._proxies:
            proxy.loses = lambda _piece: False
            proxy.drop()

    def lose_answer_to(self, text: bytes) -> None:
        """The server carries out the next request with this in it; its caller hears nothing."""
        self.losses = 0

        def loses(piece: bytes) -> bool:
            if self.losses or text not in piece:
                return False
            self.losses = 1
            return True

        self._proxies[0].loses_answer_to = loses


def _at(url: str, port: int) -> str:
    parts = urlsplit(url)
    user = f"{parts.username}:{parts.password}@" if parts.username else ""
    return urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{port}"))
