import json
import time

import pytest
from rest_framework.exceptions import APIException
from rest_framework.test import APIClient

from delivery.api.parsing import MAX_BODY_BYTES, TooLarge, read

MIB = 1024 * 1024

HOSTILE = {
    "deep lists": b"[" * 60_000,
    "deep objects": b'{"a":' * 10_000,
    "brackets closed too often": b"]" * 60_000,
    "a string without end full of backslashes": b'"' + b"\\" * 60_001,
    "21 levels": b"[" * 21 + b"]" * 21,
    "1,001 keys": json.dumps({str(n): n for n in range(1_001)}).encode(),
    "1,001 keys in many objects": json.dumps([{"a": 1}] * 1_001).encode(),
    "a key twice": b'{"a": 1, "a": 2}',
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "a number that becomes infinite": b'{"a": 1e999}',
    "NUL": b'{"a": "b\\u0000"}',
    "NUL in a key": b'{"b\\u0000": 1}',
    "NUL in a list": b'["\\u0000"]',
    "a raw NUL": b'{"a": "\x00"}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "a lone low surrogate": b'{"a": ["\\udc00"]}',
    "a 5,000-digit integer": b'{"a": ' + b"9" * 5_000 + b"}",
    "a 20-digit integer": b'{"a": 99999999999999999999}',
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a surrogate in UTF-8": b'{"a": "\xed\xa0\x80"}',
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "half an object": b'{"a": ',
    "nothing but a space": b" ",
    "two values": b"{} {}",
    "a trailing comma": b'{"a": 1,}',
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_refuses_a_hostile_body_in_a_sentence_and_at_once(body: bytes) -> None:
    started_s = time.process_time()

    with pytest.raises(APIException) as refusal:
        read(body)

    assert refusal.value.status_code == 400
    assert len(str(refusal.value.detail)) < 200
    assert time.process_time() - started_s < 0.05


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b"[]" * 500_000, b'"",' * 300_000, b'{"":' * 250_000, b'"\\' * 500_000, b"[1," * 300_000],
)
def test_refuses_a_hostile_mebibyte_at_once(body: bytes) -> None:
    started_s = time.process_time()

    with pytest.raises(APIException) as refusal:
        read(body, limit_bytes=MIB)

    assert refusal.value.status_code == 400
    assert time.process_time() - started_s < 0.05


def test_takes_the_last_allowed_byte_and_not_one_more() -> None:
    fits = b'"' + b"a" * (MAX_BODY_BYTES - 2) + b'"'

    assert len(read(fits)) == MAX_BODY_BYTES - 2
    with pytest.raises(TooLarge):
        read(fits + b" ")


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"[" * 20 + b"]" * 20, json.loads("[" * 20 + "]" * 20)),
        (b'{"a": "[[[[[[[[[[[[[[[[[[[[[[[["}', {"a": "[" * 24}),
        (b'["\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 1]', ['"' + "[" * 28, 1]),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a": "\\\\u0000"}', {"a": "\\u0000"}),
        (b'{"a": 9223372036854775807, "b": -1.5}', {"a": 2**63 - 1, "b": -1.5}),
        ('{"a": "Käse"}'.encode(), {"a": "Käse"}),
        (json.dumps([{"a": 1}] * 1_000).encode(), [{"a": 1}] * 1_000),
    ],
)
def test_reads_what_is_allowed(body: bytes, value: object) -> None:
    assert read(body) == value


SIGN_IN = "/api/v1/auth/token"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "content_type", "headers", "status"),
    [
        (b"{}", "text/plain", {}, 415),
        (b"name=a", "application/x-www-form-urlencoded", {}, 415),
        (b"--x", "multipart/form-data; boundary=x", {}, 415),
        (b"{}", "application/json", {"Content-Encoding": "gzip"}, 415),
        (b"{", "application/json", {}, 400),
        (b"[]", "application/json", {}, 422),
        (b'"a"', "application/json", {}, 422),
        (b"null", "application/json", {}, 422),
        (b"{}", "application/json", {}, 422),
        (b'{"name": ["a"], "password": {}}', "application/json; charset=utf-8", {}, 422),
        (b" " * 65_537, "application/json", {}, 413),
        (b"", "application/json", {"Transfer-Encoding": "chunked", "Content-Length": ""}, 411),
    ],
)
def test_answers_each_bad_request_in_one_shape(
    anybody: APIClient, body: bytes, content_type: str, headers: dict[str, str], status: int
) -> None:
    response = anybody.generic("POST", SIGN_IN, body.decode(), content_type=content_type, headers=headers)

    assert response.status_code == status
    assert response.json().keys() == {"detail", "status_code"}
    assert response.json()["status_code"] == status
