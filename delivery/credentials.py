"""Which credentials there are, by provider and name, and which of them can be used.

The environment gives each provider its `default`; CREDENTIALS_FILE (TOML, a table `[provider.name]` each) adds others.
Files are looked at again and again: a changed key or secret is used from the next batch on, without a restart. One that
cannot be read stops nothing: a process goes on with what it read before. See docs/credentials.md.
"""

import logging
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings

from delivery.providers import canonical_name, get_push_provider
from delivery.providers.base import ConfigError

log = logging.getLogger(__name__)

Configs = dict[str, dict[str, dict[str, Any]]]

DEFAULT = "default"
NAME = re.compile(r"[A-Za-z0-9_.-]{1,50}")

_file: tuple[object, Configs, str] = (None, {}, "")
"""How CREDENTIALS_FILE looked at the last try, what it held when it was last readable, and what is wrong now."""
_verdicts: dict[tuple[str, str], tuple[object, str]] = {}
_was_good: dict[tuple[str, str], str] = {}
"""The settings with which this process could last use a credential."""


def configured() -> Configs:
    """Provider -> credential name -> settings, complete or not."""
    merged: Configs = {provider: dict(named) for provider, named in settings.PROVIDERS.items()}
    for provider, named in _from_file().items():
        merged.setdefault(provider, {}).update(named)
    return merged


def names(provider: str) -> list[str]:
    """The credentials that a channel of this provider may name."""
    return sorted({DEFAULT, *configured().get(provider, {})})


def usable() -> Configs:
    """The same, without those whose settings do not suffice.

    A key file that is being written may be broken for a moment, so a credential that worked with the same settings
    before stays.
    """
    return {
        provider: good
        for provider, named in configured().items()
        if (good := {name: config for name, config in named.items() if _is_usable(provider, name, config)})
    }


def _is_usable(provider: str, name: str, config: Mapping[str, Any]) -> bool:
    return not what_is_missing(provider, name, config) or _was_good.get((provider, name)) == _settings_of(config)


def file_error() -> str:
    """Why CREDENTIALS_FILE cannot be used; empty where it can, or none is named."""
    _from_file()
    return _file[2]


def what_is_missing(provider: str, name: str, config: Mapping[str, Any]) -> str:
    """Why this credential cannot be used, in a sentence that names the setting; empty where it can."""
    state = fingerprint(config)
    known = _verdicts.get((provider, name))
    if known is not None and known[0] == state:
        return known[1]
    try:
        get_push_provider(provider, config)
        why = ""
        _was_good[provider, name] = _settings_of(config)
    except Exception as error:  # noqa: BLE001  (a value of the wrong kind must not stop the other credentials)
        why = str(error) if isinstance(error, ConfigError) else f"a setting has a wrong kind ({type(error).__name__})"
        log.error("credential not usable", extra={"provider": provider, "credential": name, "why": why})
    _verdicts[provider, name] = (state, why)
    return why


def fingerprint(config: Mapping[str, Any]) -> object:
    """Changes when the settings change, or a file that they name."""
    return _settings_of(config), [_stamp(path) for path in files(config).values()]


def files(config: Mapping[str, Any]) -> dict[str, str]:
    """The settings that name a file, each with its path; a web push key may be given either way."""
    return {
        key: value
        for key, value in config.items()
        if isinstance(value, str) and (key.endswith("_file") or os.sep in value)
    }


def _settings_of(config: Mapping[str, Any]) -> str:
    return repr(sorted(config.items(), key=lambda item: item[0]))


def _from_file() -> Configs:
    global _file
    path = settings.CREDENTIALS_FILE
    if not path:
        _file = (None, {}, "")
        return {}
    stamp = (path, _stamp(path))
    if _file[0] != stamp:
        try:
            _file = (stamp, _read(Path(path)), "")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)[:200]
            log.error("CREDENTIALS_FILE is not usable; what was read before stays", extra={"why": why})
            _file = (stamp, _file[1], why)
    return _file[1]


def _read(path: Path) -> Configs:
    """`ValueError` quotes no setting: it could be a secret."""
    found: Configs = {}
    for provider, named in tomllib.loads(path.read_text(encoding="utf-8")).items():
        if not isinstance(named, dict) or not all(isinstance(config, dict) for config in named.values()):
            raise ValueError(f"[{provider}] must be tables such as [{provider}.default]")
        for name, config in named.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"[{provider}]: a name has 1 to 50 letters, digits, dots, dashes and underscores")
            if not isinstance(config.get("expires_at", date.max), date):
                raise ValueError(f"[{provider}.{name}] expires_at must be a date such as 2027-05-31, without quotes")
        found.setdefault(canonical_name(provider), {}).update(named)
    return found


def _stamp(path: str) -> tuple[int, ...] | None:
    """Changes with the content, also where that came with an older date, and when the file can be read again."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, facts.st_size
