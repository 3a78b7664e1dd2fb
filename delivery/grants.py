"""What a device's owner allows on it, and what its system can do at all."""

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from delivery.models import AuditLog, Device
from delivery.models.device_command import CommandType

PERMISSIONS = ("root_access", "command_execution", "process_monitoring", "filesystem_access", "network_monitoring")
"""The words that agents in the field use."""

NEEDED = {
    CommandType.RESTART: "root_access",
    CommandType.SHUTDOWN: "root_access",
    CommandType.RUN_COMMAND: "command_execution",
    CommandType.RUN_SCRIPT: "command_execution",
}
"""What the owner must have granted before a technician may order this."""

CANNOT = (
    (re.compile(r"\b(ios|ipados|ipad|iphone)", re.IGNORECASE), frozenset(PERMISSIONS) - {"network_monitoring"}),
    (re.compile(r"android|windows|win32|win64", re.IGNORECASE), frozenset({"root_access"})),
)
"""By system, what its apps cannot do."""


def granted(device: Device) -> dict[str, bool]:
    """Every permission; what the owner never spoke of is not granted."""
    return {name: device.permissions.get(name) is True for name in PERMISSIONS}


def capabilities(device: Device) -> dict[str, bool]:
    """Every permission: whether apps on the device's system could use it. Of an unknown system nothing is ruled out."""
    cannot = next((lacks for system, lacks in CANNOT if system.search(device.platform)), frozenset())
    return {name: name not in cannot for name in PERMISSIONS}


def missing(device: Device, command_type: str, payload: Mapping[str, Any] | None) -> list[str]:
    """The grants that this command needs and the device lacks."""
    needed = [NEEDED[CommandType(command_type)]] if command_type in NEEDED else []
    if command_type in (CommandType.RUN_COMMAND, CommandType.RUN_SCRIPT) and _as_root(payload):
        needed.append("root_access")
    has = granted(device)
    return [name for name in needed if not has[name]]


def grant(device: Device, changes: Mapping[str, bool], *, actor: str) -> None:
    """Keep what the owner said; permissions that are not named stay as they were."""
    with transaction.atomic():
        stored = Device.objects.select_for_update().get(pk=device.pk)
        before = granted(stored)
        stored.permissions = {**stored.permissions, **changes}
        stored.save(update_fields=["permissions"])
        changed = {name: value for name, value in changes.items() if value is not before[name]}
        if changed:
            AuditLog.note(actor, "changed permissions", device, device.device_id, **changed)
    device.permissions = stored.permissions


def _as_root(payload: Mapping[str, Any] | None) -> bool:
    """Agents read the options of a command from its `data`, where there is one."""
    options = payload or {}
    inner = options.get("data")
    return bool((inner if isinstance(inner, Mapping) else options).get("run_as_root"))
