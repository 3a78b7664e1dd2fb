import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.test import Client
from structlog.stdlib import ProcessorFormatter

from homepot.logs import mask_path, mask_text
from tests import servers

TOKEN = '{"endpoint":"https://push.example/wpush/v2/abc","keys":{"auth":"secret-auth","p256dh":"secret-point"}}'


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What was logged so far, as it stands on standard error."""
    written = StringIO()
    [handler] = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and isinstance(handler.formatter, ProcessorFormatter)
    ]
    before = handler.setStream(written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    handler.setStream(before)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/api/v1/jobs/job-1234567890abcdef", "/api/v1/jobs/job-1234567890abcdef"),
        ("/api/v1/messenger/devices", "/api/v1/messenger/devices"),
        ("/api/v1/messenger/devices/register", "/api/v1/messenger/devices/register"),
        ("/api/v1/messenger/devices/short", "/api/v1/messenger/devices/…"),
        (f"/api/v1/messenger/devices/{TOKEN}", f'/api/v1/messenger/devices/{{"endpoi…({len(TOKEN)})'),
        (f"/api/v1/devices/{'a' * 60}/key", "/api/v1/devices/aaaaaaaa…(60)/key"),
    ],
)
def test_masks_addresses_in_paths(path: str, shown: str) -> None:
    assert mask_path(path) == shown


def test_no_line_of_a_refused_request_holds_its_address(
    client: Client, redis_server: servers.Redis, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    client.delete(f"/api/v1/messenger/devices/{TOKEN}")

    logged = lines()
    assert {line["logger"] for line in logged} == {"homepot.request", "django.request"}
    assert not any("secret" in json.dumps(line) for line in logged)


def test_masks_keys_by_their_name(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logging.getLogger("delivery").warning("registered", extra={"api_key": "hpd_0123456789abcdefghij"})

    [line] = lines()
    assert line["api_key"] == "hpd_0123…(24)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("refused hpd_kq0aU35Asd8DYlbHF4Fhu3pPxpX4gi30fQfHdCICDCI", "refused hpd_kq0a…(47)"),
        (f"no such token cX1:{'A' * 140}", "no such token cX1:AAAAAAAA…(140)"),
        (f"https://db5.notify.windows.com/?token={'B' * 60}", "https://db5.notify.windows.com/?token=BBBBBBBB…(60)"),
        ("redis://:secret@broker:6379/0 is away", "redis://…@broker:6379/0 is away"),
        ("mqtt://homepot:secret@broker", "mqtt://…@broker"),
        ("message 01a1fcfd-5b95-7768-9fb6-453bb1fc654f waits", "message 01a1fcfd-5b95-7768-9fb6-453bb1fc654f waits"),
    ],
)
def test_masks_keys_and_addresses_in_running_text(text: str, shown: str) -> None:
    assert mask_text(text) == shown


def test_masks_what_an_exception_quotes(lines: Callable[[], list[dict[str, Any]]]) -> None:
    try:
        raise ValueError(f"cannot send to {'C' * 64}")
    except ValueError:
        logging.getLogger("delivery").exception("a bug")

    [line] = lines()
    assert "ValueError: cannot send to CCCCCCCC…(64)" in line["exception"]


def test_masks_inside_what_a_line_carries(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logging.getLogger("celery").error("a task failed", extra={"data": {"args": ["D" * 64], "api_key": "hpd_1"}})

    [line] = lines()
    assert line["data"] == {"args": ["DDDDDDDD…(64)"], "api_key": "…"}


def test_keeps_the_ids_that_lines_are_found_by(lines: Callable[[], list[dict[str, Any]]]) -> None:
    device_id = "till-" + "x" * 80

    logging.getLogger("delivery").info("ack", extra={"device_id": device_id})

    [line] = lines()
    assert line["device_id"] == device_id


def test_the_line_of_a_request_names_what_its_address_names(
    client: Client, redis_server: servers.Redis, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    client.get("/api/v1/jobs/job-1234567890abcdef")

    [line] = [line for line in lines() if line["logger"] == "homepot.request"]
    assert line["job_id"] == "job-1234567890abcdef"
