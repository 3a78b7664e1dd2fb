"""Which credentials there are, by provider and name, and which of them can be used.

The environment gives each provider its `default`; CREDENTIALS_FILE (TOML, a table `[provider.name]` each) adds others.
Files are looked at again and again: a changed key or secret is used from the next batch on, without a restart.
"""

import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from delivery.providers import canonical_name, get_push_provider
from delivery.providers.base import ConfigError

log = logging.getLogger(__name__)

Configs = dict[str, dict[str, dict[str, Any]]]

_file: tuple[object, Configs] = (None, {})
_verdicts: dict[tuple[str, str], tuple[object, str]] = {}


def configured() -> Configs:
    """Provider -> credential name -> settings, complete or not."""
    merged: Configs = {provider: dict(named) for provider, named in settings.PROVIDERS.items()}
    for provider, named in _from_file().items():
        merged.setdefault(provider, {}).update(named)
    return merged


def usable() -> Configs:
    """The same, without those whose settings do not suffice."""
    return {
        provider: good
        for provider, named in configured().items()
        if (good := {name: config for name, config in named.items() if not what_is_missing(provider, name, config)})
    }


def what_is_missing(provider: str, name: str, config: Mapping[str, Any]) -> str:
    """Why this credential cannot be used, in a sentence that names the setting; empty where it can."""
    state = fingerprint(config)
    known = _verdicts.get((provider, name))
    if known is not None and known[0] == state:
        return known[1]
    try:
        get_push_provider(provider, config)
        why = ""
    except ConfigError as error:
        why = str(error)
        log.error("credential not usable", extra={"provider": provider, "credential": name, "why": why})
    _verdicts[provider, name] = (state, why)
    return why


def fingerprint(config: Mapping[str, Any]) -> object:
    """Changes when the settings change, or a file that they name."""
    files = [
        value for key, value in config.items() if isinstance(value, str) and (key.endswith("_file") or os.sep in value)
    ]
    return repr(sorted(config.items(), key=lambda item: item[0])), [_stamp(path) for path in files]


def _from_file() -> Configs:
    global _file
    path = settings.CREDENTIALS_FILE
    if not path:
        return {}
    stamp = (path, _stamp(path))
    if _file[0] != stamp:
        try:
            _file = (stamp, _read(Path(path)))
        except (OSError, ValueError) as error:
            log.error("CREDENTIALS_FILE is not usable; what was read before stays", extra={"why": str(error)[:200]})
            _file = (stamp, _file[1])
    return _file[1]


def _read(path: Path) -> Configs:
    found: Configs = {}
    for provider, named in tomllib.loads(path.read_text(encoding="utf-8")).items():
        if not isinstance(named, dict) or not all(isinstance(config, dict) for config in named.values()):
            raise ValueError(f"[{provider}] must be tables such as [{provider}.default]")
        found[canonical_name(provider)] = named
    return found


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size
