import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.test import Client
from structlog.stdlib import ProcessorFormatter

from homepot.logs import mask_path
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
