"""JSON from strangers: whatever the body holds, the answer is a value or a clear 4xx, in milliseconds."""

import json
import math
import re
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.http import UnreadablePostError
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

MAX_BODY_BYTES = 64 * 1024
MAX_KEYS = 1_000
MAX_DEPTH = 20
MAX_MARKS = 100_000
"""Quotes, backslashes and brackets in one body: they are what reading costs."""
MAX_INTEGER = 2**63 - 1

_ALL_BUT_MARKS = bytes(set(range(256)) - set(b'"\\[]{}'))
_STRING_OR_BRACKET = re.compile(rb'"(?:\\.|[^"\\])*"|[\[\]{}]')


class TooLarge(APIException):
    status_code = 413
    default_detail = "The body is too large"
    default_code = "too_large"


class StrictJSONParser(BaseParser):
    """Reads what the view allows: its `max_body_bytes` and `max_keys` replace the defaults above."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        context = parser_context or {}
        view = context.get("view")
        request = context.get("request")
        if request is not None and request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
            raise UnsupportedMediaType(media_type or "", "Compressed bodies are not read")
        limit_bytes = getattr(view, "max_body_bytes", MAX_BODY_BYTES)
        if request is not None and _declared_bytes(request.META) > limit_bytes:
            raise TooLarge(f"The body may have {limit_bytes} bytes")
        try:
            body = stream.read(limit_bytes + 1)
        except UnreadablePostError:
            raise ParseError("The body broke off") from None
        return read(body, limit_bytes=limit_bytes, max_keys=getattr(view, "max_keys", MAX_KEYS))


def read(body: bytes, *, limit_bytes: int = MAX_BODY_BYTES, max_keys: int = MAX_KEYS) -> Any:
    """The value that the body holds; `ParseError` (400) or `TooLarge` (413) say in a sentence what is wrong with it."""
    if len(body) > limit_bytes:
        raise TooLarge(f"The body may have {limit_bytes} bytes")
    _check_depth(body)
    try:
        text = body.decode()
        value = json.loads(
            text,
            object_pairs_hook=_Objects(max_keys).build,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except UnicodeDecodeError:
        raise ParseError("The body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ParseError(f"Not JSON: {error.msg} at character {error.pos}") from None
    except (RecursionError, ValueError):
        raise ParseError("Not JSON that can be read") from None
    if "\\u" in text:
        _check_text(value)
    return value


class _Objects:
    """Builds the objects of one body and counts their keys."""

    def __init__(self, max_keys: int) -> None:
        self.left = self.max_keys = max_keys

    def build(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self.left -= len(pairs)
        if self.left < 0:
            raise ParseError(f"More than {self.max_keys} keys")
        built = dict(pairs)
        if len(built) < len(pairs):
            raise ParseError("A key stands twice in one object")
        return built


def _check_depth(body: bytes) -> None:
    """Before the recursive reader sees it. Brackets inside strings do not count."""
    marks = body.translate(None, _ALL_BUT_MARKS)
    if len(marks) > MAX_MARKS:
        raise ParseError("Too many values")
    if marks.count(b"[") + marks.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(marks):
        mark = match.group()
        if mark in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise ParseError(f"Nested deeper than {MAX_DEPTH}")
        elif mark in (b"]", b"}"):
            depth -= 1


def _check_text(value: Any) -> None:
    """Only an escape can bring in NUL or half a character, which no database stores."""
    if isinstance(value, str):
        if "\x00" in value:
            raise ParseError("NUL characters are not stored")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ParseError("A lone surrogate is not a character")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            _check_text(item)
    elif isinstance(value, list):
        for item in value:
            _check_text(item)


def _declared_bytes(headers: Mapping[str, Any]) -> int:
    declared = str(headers.get("CONTENT_LENGTH") or "0")
    return int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 19 else 0


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > MAX_INTEGER:
        raise ParseError("A whole number is too large")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ParseError("A number is too large")
    return number


def _constant(word: str) -> NoReturn:
    raise ParseError(f"{word} is not JSON")
