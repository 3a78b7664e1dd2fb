"""The bench's own parts: that the stub counts what came, and that the naive pipeline does what it is said to do."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from ssl import create_default_context
from typing import Any

import pytest

from bench.peers import clients, installed, naive_pipeline
from bench.peers.clients import Client
from bench.stage import Stage
from bench.stub import PushStub
from tests.processes import ROOT

DEVICES = 3
ORDER_AND_TELL = f"""
import json
import django
django.setup()
from bench.peers.naive.celery_app import app
from bench.peers.naive.models import Device, Push
from bench.peers.naive.tasks import order
app.conf.task_always_eager = True
for number in range({DEVICES}):
    Device.objects.create(name=f"device-{{number}}", token=f"{{number:064x}}")
order("Title", "Body", {{"action": "load"}})
print(json.dumps(list(Push.objects.order_by("pk").values_list("device__name", "status", "provider_message_id"))))
"""

Credentials = Mapping[str, Mapping[str, Any]]


@pytest.mark.parametrize("provider", ["fcm", "apns"])
def test_the_naive_pipeline_posts_each_push_once_and_saves_a_row_for_each(
    provider: str, started: Stage, credentials: Credentials, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'naive.sqlite3'}"
    env = naive_pipeline.environment(database, "memory://", started.stub.url, provider, credentials[provider])
    naive_pipeline.migrate(tmp_path, env)

    with started.expecting(provider, DEVICES):
        done = subprocess.run(
            [sys.executable, "-c", ORDER_AND_TELL], env=env, cwd=ROOT, capture_output=True, text=True, timeout=60
        )

    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(name, status) for name, status, _ in rows] == [(f"device-{n}", "sent") for n in range(DEVICES)]
    assert len({message_id for *_, message_id in rows}) == DEVICES


def test_a_measurement_is_void_where_the_stub_counted_other_than_was_sent(started: Stage) -> None:
    with pytest.raises(AssertionError, match="1 messages were sent to fcm, and 0 came"), started.expecting("fcm", 1):
        pass


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/projects/bench/messages:send", b"{}"), ("/3/device/00ff", b"{}"), ("/wpush/1", b"x" * 200)],
)
def test_the_stub_refuses_what_is_no_push(path: str, body: bytes, stub: PushStub) -> None:
    refused = stub.counts()["refused"]

    with pytest.raises(urllib.error.HTTPError, match="400"):
        post(stub, path, body)

    assert stub.counts()["refused"] == refused + 1


def test_the_stub_repeats_the_id_that_a_sender_gave_its_notification(stub: PushStub) -> None:
    answered = post(stub, "/3/device/00ff", b'{"message_id":"1"}', **{"apns-id": "mine"})

    assert answered["apns-id"] == "mine"


def test_a_client_whose_packages_cannot_be_had_is_not_here(
    started: Stage, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "python", lambda: None)
    monkeypatch.setattr(installed, "node", lambda: None)

    found = [each.rate(started, "fcm", credentials["fcm"]) for each in (clients.FCM[0], clients.APNS[1])]

    assert found == [None, None]


def test_a_client_that_fails_stops_the_measurement(started: Stage, credentials: Credentials) -> None:
    failing = Client("failing", "no_such_module", 1, needs_packages=False)

    with pytest.raises(AssertionError, match="failing ended with 1"):
        failing.rate(started, "fcm", credentials["fcm"])


def post(stub: PushStub, path: str, body: bytes, **headers: str) -> Mapping[str, str]:
    request = urllib.request.Request(stub.url + path, data=body, headers=headers, method="POST")
    context = create_default_context(cafile=str(stub.tls.ca_file))
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return dict(answer.headers)
