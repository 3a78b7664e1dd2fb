"""Free ports, who holds the others, and under which names this machine is reached."""

import errno
import json
import socket
from contextlib import suppress
from pathlib import Path

import psutil

ANYWHERE = "0.0.0.0"
"""Not an address, but all of them."""


def free_port(host: str = "127.0.0.1", wanted: int = 0) -> int:
    """`wanted` when nobody listens there, else another; 0 leaves the choice to the system."""
    if wanted and is_free(host, wanted):
        return wanted
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port


def is_free(host: str, port: int) -> bool:
    """OSError when nobody could listen there: not an address of ours, or a port for root alone."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are just closing do not count
        try:
            probe.bind((host, port))
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def next_free(host: str, port: int) -> int:
    """The nearest free port above, easier to remember than any."""
    return next((above for above in range(port + 1, min(port + 100, 65536)) if is_free(host, above)), free_port(host))


def holder(port: int) -> str:
    """Who listens on a busy port, as a person would name it; other users' processes stay unnamed unless root asks."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                process = psutil.Process(connection.pid)
                return f"{process.name()} (process {process.pid}: {' '.join(process.cmdline())[:80]})"
    return "a process of another user"


def kept(file: Path, *names: str) -> list[int]:
    """Ports of 127.0.0.1, the same as last time where they are free, so that bookmarks and agents stay right."""
    last: dict[str, int] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    now = {name: free_port(wanted=last.get(name, 0)) for name in names}
    file.write_text(json.dumps(now) + "\n", encoding="utf-8")
    return list(now.values())


def reached_as(host: str) -> str:
    return "127.0.0.1" if host == ANYWHERE else host


def own_names(host: str) -> list[str]:
    """What a browser may call a server that listens on `host`."""
    names = ["127.0.0.1", "localhost", reached_as(host)]
    if host == ANYWHERE:
        cards = psutil.net_if_addrs().values()
        names.append(socket.gethostname())
        names += [address.address for card in cards for address in card if address.family == socket.AF_INET]
    return list(dict.fromkeys(names))
