"""Free ports, and who holds the others."""

import socket
from contextlib import suppress

import psutil


def free_port(host: str = "127.0.0.1", wanted: int = 0) -> int:
    """`wanted` when nobody listens there, else another; 0 leaves the choice to the system."""
    if wanted and is_free(host, wanted):
        return wanted
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port


def is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are just closing do not count
        try:
            probe.bind((host, port))
        except OSError:
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
