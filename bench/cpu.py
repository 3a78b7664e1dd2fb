"""Processor time by part of the system: what a message costs, whoever else uses the machine meanwhile."""

from collections.abc import Mapping

import psutil


def seconds(parts: Mapping[str, int]) -> dict[str, float]:
    """User and system seconds so far of each part's process (by id) and all that descends from it, ended or not."""
    return {name: _tree(pid) for name, pid in parts.items()}


def spent_us(before: Mapping[str, float], after: Mapping[str, float], messages: int) -> dict[str, float]:
    """Microseconds per message between two readings."""
    return {name: (after[name] - before[name]) * 1e6 / messages for name in after}


def _tree(pid: int) -> float:
    leader = psutil.Process(pid)
    family = [leader, *leader.children(recursive=True)]
    return sum(_one(member) for member in family)


def _one(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
