"""Typed reads of environment variables. A bad value stops the process and names the variable.

Every read is noted in `READ`, so that a test can compare the code with docs/configuration.md and .env.example.
"""

import os
import sys
from collections.abc import Callable
from typing import BinaryIO, NoReturn, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

READ: dict[str, str] = {}
"""Each variable that was read, and its default as it would stand in the environment."""


def refuse(name: str, why: str) -> NoReturn:
    sys.exit(f"Setting {name} is not usable: {why}")


def _read(name: str, default: T, shown: str, convert: Callable[[str], T]) -> T:
    READ[name] = shown
    raw = os.environ.get(name, "")
    if raw == "":
        return default
    try:
        return convert(raw)
    except ValueError as error:
        refuse(name, str(error))


def text(name: str, default: str = "") -> str:
    return _read(name, default, default, str)


def boolean(name: str, default: bool = False) -> bool:
    """`1`, `true`, `yes`, `on` and their opposites."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

    def convert(raw: str) -> bool:
        if raw.lower() not in words:
            raise ValueError(f"'{raw}' is neither 1 nor 0")
        return words[raw.lower()]

    return _read(name, default, "1" if default else "0", convert)


def integer(name: str, default: int, *, minimum: int = 0, maximum: int = 2**31 - 1) -> int:
    def convert(raw: str) -> int:
        try:
            value = int(raw)
        except ValueError:
            raise ValueError(f"'{raw[:50]}' is not a whole number") from None
        if not minimum <= value <= maximum:
            raise ValueError(f"{value} is not between {minimum} and {maximum}")
        return value

    return _read(name, default, str(default), convert)


def number(name: str, default: float, *, minimum: float = 0.0, maximum: float = 1e9) -> float:
    return _read(name, default, f"{default:g}", lambda raw: _number(raw, minimum, maximum))


def number_or_none(name: str, *, minimum: float = 0.0, maximum: float = 1e9) -> float | None:
    return _read(name, None, "", lambda raw: _number(raw, minimum, maximum))


def _number(raw: str, minimum: float, maximum: float) -> float:
    try:
        value = float(raw)
    except ValueError:
        raise ValueError(f"'{raw[:50]}' is not a number") from None
    if not minimum <= value <= maximum:
        raise ValueError(f"{raw} is not between {minimum:g} and {maximum:g}")
    return value


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A list, comma-separated."""
    return _read(
        name,
        list(default),
        ",".join(default),
        lambda raw: [word.strip() for word in raw.split(",") if word.strip()],
    )


def weights(name: str, allowed: tuple[str, ...]) -> dict[str, float]:
    """Weights of these words: `retry=8,throttled=2`."""

    def convert(raw: str) -> dict[str, float]:
        pairs = [pair.partition("=") for pair in raw.split(",") if pair.strip()]
        named = {word.strip(): _number(weight, 0.0, 1e9) for word, _, weight in pairs}
        if strange := sorted(set(named) - set(allowed)):
            raise ValueError(f"'{strange[0][:50]}' is none of {', '.join(allowed)}")
        return named

    return _read(name, {}, "", convert)


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    def convert(raw: str) -> str:
        if raw not in allowed:
            raise ValueError(f"'{raw[:50]}' is none of {', '.join(allowed)}")
        return raw

    return _read(name, default, default, convert)


def url(name: str, default: str, *, schemes: tuple[str, ...]) -> str:
    """Of these schemes, and with a port that can be one."""

    def convert(raw: str) -> str:
        parts = urlsplit(raw)
        if parts.scheme not in schemes:
            raise ValueError(f"it must start with one of {', '.join(s + '://' for s in schemes)}")
        if parts.port == 0:
            raise ValueError("its port is 0")
        if parts.scheme in ("http", "https", "mqtt", "mqtts") and not parts.hostname:
            raise ValueError("it names no host")
        return raw

    return _read(name, default, default, convert)


def file(name: str, check: Callable[[BinaryIO], object] | None = None) -> str:
    """The path of a file that can be read; `check` raises `ValueError` where its content is no good."""

    def convert(raw: str) -> str:
        try:
            with open(raw, "rb") as opened:
                if check is not None:
                    check(opened)
        except OSError as error:
            raise ValueError(f"cannot read {raw} ({error.strerror})") from None
        return raw

    return _read(name, "", "", convert)


def secret(name: str) -> str:
    """The variable itself, or what the file holds that `<name>_FILE` names."""
    path = text(f"{name}_FILE")
    if not path:
        return text(name)
    READ.setdefault(name, "")
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError as error:
        refuse(f"{name}_FILE", f"cannot read it ({error.strerror})")
