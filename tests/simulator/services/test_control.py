"""The control port over the standard library's HTTP client."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.services import PushServices, running
from tests.simulator.services.clients import Https, Reply, fcm_token, send_path

TOKEN = "token-number-1"


class Desk:
    """A person with curl, and a sender that pushes through FCM."""

    def __init__(self, services: PushServices) -> None:
        self.services = services
        self.fcm = services.fcm
        self.token = fcm_token(self.fcm)

    def ask(self, method: str, path: str, **content: Any) -> Reply:
        with Https(self.services.control.url) as client:
            return client.ask(method, path, json.dumps(content) if content else b"")

    def send(self, message_id: str = "m-1") -> int:
        content = json.dumps({"message": {"token": TOKEN, "data": {"message_id": message_id}}})
        with Https(self.fcm.url, self.fcm.ca_file) as client:
            return client.post(send_path(self.fcm), content, {"authorization": f"Bearer {self.token}"}).status


@pytest.fixture
def desk(home: Path) -> Iterator[Desk]:
    with running(PushServices(home=home)) as services:
        yield Desk(services)


def test_says_how_each_service_is_reached(desk: Desk, home: Path) -> None:
    described = desk.ask("GET", "/services").json()

    assert described.keys() == {"fcm", "apns", "wns", "web_push", "control", "devices", "browsers"}
    assert described["fcm"]["url"] == desk.fcm.url
    assert Path(described["apns"]["key_file"]).exists()
    assert described == json.loads((home / "addresses.json").read_text())


def test_puts_a_fault_in_force_lists_it_and_ends_it(desk: Desk) -> None:
    number = desk.ask("POST", "/faults", service="fcm", do="answer", status=503, retry_after="30").json()["number"]

    failed = desk.send()
    [listed] = desk.ask("GET", "/faults").json()["faults"]
    ended = desk.ask("DELETE", f"/faults?number={number}").json()["ended"]

    assert (failed, desk.send()) == (503, 200)
    assert (listed["service"], listed["status"], listed["met"]) == ("fcm", 503, 1)
    assert ended == 1


def test_ends_the_faults_of_one_service_alone(desk: Desk) -> None:
    for service in ("fcm", "apns"):
        desk.ask("POST", "/faults", service=service, do="hang")

    desk.ask("DELETE", "/faults?service=fcm")

    assert [each["service"] for each in desk.ask("GET", "/faults").json()["faults"]] == ["apns"]


def test_counts_what_was_accepted_by_message_id(desk: Desk) -> None:
    for message_id in ("m-1", "m-2", "m-1"):
        desk.send(message_id)

    counts = desk.ask("GET", "/counts").json()

    assert (counts["fcm"]["accepted"], counts["fcm"]["messages"], counts["fcm"]["repeated"]) == (3, 2, 1)
    assert desk.ask("GET", "/accepted?service=fcm").json() == {"fcm": {"m-1": 2, "m-2": 1}}


def test_begins_again_at_zero(desk: Desk) -> None:
    desk.send()

    desk.ask("DELETE", "/counts")

    assert desk.ask("GET", "/counts?service=fcm").json()["fcm"]["accepted"] == 0
    assert desk.ask("GET", "/accepted?service=fcm").json() == {"fcm": {}}


@pytest.mark.parametrize("service", ["fcm", "apns", "wns", "web_push"])
def test_gives_new_addresses(desk: Desk, service: str) -> None:
    addresses = desk.ask("POST", "/addresses", service=service, count=3).json()["addresses"]

    assert len(set(addresses)) == 3


def test_retires_addresses(desk: Desk) -> None:
    desk.ask("DELETE", "/addresses", service="fcm", addresses=[TOKEN])

    assert desk.send() == 404


def test_expires_access_tokens(desk: Desk) -> None:
    desk.ask("DELETE", "/tokens?service=fcm")

    assert desk.send() == 401


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("POST", "/faults", {"service": "pigeon", "do": "hang"}, 400),
        ("POST", "/faults", {"service": "fcm", "do": "explode"}, 400),
        ("POST", "/faults", {"do": "hang"}, 400),
        ("DELETE", "/faults?number=first", {}, 400),
        ("POST", "/addresses", {"service": "fcm", "count": 0}, 400),
        ("DELETE", "/addresses", {"service": "fcm", "addresses": 5}, 400),
        ("DELETE", "/tokens?service=apns", {}, 400),
    ],
)
def test_says_what_is_wrong(desk: Desk, method: str, path: str, content: dict[str, Any], status: int) -> None:
    reply = desk.ask(method, path, **content)

    assert reply.status == status
    assert reply.json()["detail"]


def test_refuses_a_body_that_is_no_object(desk: Desk) -> None:
    with Https(desk.services.control.url) as client:
        reply = client.post("/faults", b"[1]")

    assert reply.status == 400
