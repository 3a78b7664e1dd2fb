"""What an agent can say of the machine that it runs on, without any further package."""

import os
import platform
import shutil
from pathlib import Path

MEMORY = Path("/proc/meminfo")


def os_details() -> str:
    """Such as `Debian GNU/Linux 12 (bookworm)`."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform(terse=True)


def host() -> str:
    return platform.node() or "device"


def numbers(folder: Path) -> dict[str, float]:
    """Per cent of processor, memory and the folder's disk in use."""
    disk = shutil.disk_usage(folder)
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return {
        "cpu_usage": round(min(100.0, 100 * load), 1),
        "memory_usage": memory_usage(),
        "disk_usage": round(100 * disk.used / disk.total, 1) if disk.total else 0.0,
    }


def memory_usage() -> float:
    """0 where the system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in MEMORY.read_text(encoding="ascii").splitlines())
        total, free = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return 0.0
    return round(100 * (total - free) / total, 1)
