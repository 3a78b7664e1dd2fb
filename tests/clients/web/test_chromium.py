"""Chromium exercises the worker alone: pushes come from its developer tools, and it never subscribes.

What is pushed is what the product sent, opened by the emulated service, or nonsense.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.web.devtools import CHROMIUM, Chromium, Target
from tests.clients.web.page import Page
from tests.clients.web.product import Portal
from tests.journey.api import wait_until

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]

BROKEN = [
    "",
    " ",
    "{",
    "null",
    "7",
    '"text"',
    "[]",
    "{}",
    "[" * 10_000,
    '{"message_id": null, "title": "No id"}',
    '{"message_id": 7}',
    '{"message_id": "strange", "ack_token": [], "title": {}, "body": 1, "data": 2, "notification": 3}',
    '{"message_id": "strange-2", "title": "Strange", "notification": {"actions": "none", "icon": 5, "vibrate": {}}}',
    '{"message_id": "strange-3", "title": "Elsewhere", "data": {"url": "javascript:alert(1)"}}',
    '{"message_id": "strange-4", "title": "\\ud800", "body": "\\u0000"}',
]


WATCH = """
    self.shown = [];
    const show = registration.showNotification;
    registration.showNotification = async (title, options) => {
        await show.call(registration, title, options);
        self.shown.push(options.data.message_id);
    };
"""
"""Chromium forgets a notification whose list is asked for while it is being shown: what asks waits until it is."""


class Worker:
    """The service worker of the portal, and the developer tools that have it in their hands."""

    def __init__(self, chromium: Chromium, page: Target, origin: str) -> None:
        self._chromium = chromium
        self._page = page
        self._origin = origin
        page.command("ServiceWorker.enable")
        [registration] = chromium.said("ServiceWorker.workerRegistrationUpdated")["registrations"]
        self._registration = registration["registrationId"]
        wait_until(lambda: bool(self._targets()), "running worker")
        self._target = chromium.attach(self._targets()[0]["targetId"])
        self._target.command("Runtime.enable")
        self._target.command("Network.enable")
        self._target.run(WATCH)

    def push(self, payload: dict[str, Any] | str) -> None:
        data = payload if isinstance(payload, str) else json.dumps(payload)
        self._tell("deliverPushMessage", data=data)

    def sync(self) -> None:
        """As the browser does when it is online again."""
        self._tell("dispatchSyncEvent", tag="acks", lastChance=False)

    def offline(self, offline: bool) -> None:
        conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self._target.command("Network.emulateNetworkConditions", **conditions)

    def wait_until_shown(self, *payloads: dict[str, Any]) -> None:
        awaited = {payload["message_id"] for payload in payloads}
        wait_until(lambda: awaited <= self._shown(), "notification", found=self._shown, pause_s=0.02)

    def notifications(self) -> list[dict[str, Any]]:
        shown = (
            "registration.getNotifications().then((all) => all.map(({ title, body, data }) => ({ title, body, data })))"
        )
        return list(self._target.run(shown))

    def close_notifications(self) -> None:
        self._target.run("registration.getNotifications().then((all) => all.forEach((each) => each.close()))")

    def complaints(self) -> list[dict[str, Any]]:
        """What the worker threw and did not catch."""
        self._target.run("1")  # what it said before this has been heard
        thrown = ("Runtime.exceptionThrown", "ServiceWorker.workerErrorReported")
        return [event["params"] for event in self._chromium.events if event["method"] in thrown]

    def waiting_acks(self) -> int:
        return int(self._page.run("import('/static/portal/store.js').then((store) => store.countWaitingAcks())"))

    def _shown(self) -> set[str]:
        return set(self._target.run("self.shown"))

    def _tell(self, verb: str, **parameters: object) -> None:
        where = {"origin": self._origin, "registrationId": self._registration}
        self._page.command(f"ServiceWorker.{verb}", **where, **parameters)

    def _targets(self) -> list[dict[str, Any]]:
        found = self._chromium.command("Target.getTargets")["targetInfos"]
        return [target for target in found if target["type"] == "service_worker"]


@pytest.fixture(scope="module")
def chromium(portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if CHROMIUM is None:
        pytest.skip("Chromium is missing (Debian: chromium)")
    with Chromium(tmp_path_factory.mktemp("chromium")) as chromium:
        chromium.command("Browser.grantPermissions", origin=portal.url, permissions=["notifications"])
        yield chromium


@pytest.fixture(scope="module")
def page(chromium: Chromium, portal: Portal) -> Target:
    """Once signed in, with the worker started; then where no page is, that would do a part of the work."""
    page = chromium.open(f"{portal.url}/portal/")
    Page(page, portal).sign_in()
    page.go(f"{portal.url}/portal/nowhere")
    return page


@pytest.fixture(scope="module")
def one_worker(chromium: Chromium, page: Target, portal: Portal) -> Worker:
    return Worker(chromium, page, portal.url)


@pytest.fixture
def worker(one_worker: Worker) -> Worker:
    """Online, with nothing shown."""
    one_worker.offline(False)
    one_worker.close_notifications()
    return one_worker


def test_a_push_is_acked_and_shown(worker: Worker, portal: Portal) -> None:
    payload = portal.payload(title="New prices", body="Grüße")

    worker.push(payload)

    assert portal.wait_for(payload["message_id"], "acked_at")["status"] == "delivered"
    worker.wait_until_shown(payload)
    assert [(each["title"], each["body"]) for each in worker.notifications()] == [("New prices", "Grüße")]


def test_nothing_that_a_push_may_carry_makes_the_worker_throw(worker: Worker, portal: Portal) -> None:
    for broken in BROKEN:
        worker.push(broken)
    payload = portal.payload()
    worker.push(payload)

    worker.wait_until_shown(payload)
    assert portal.wait_for(payload["message_id"], "acked_at")["status"] == "delivered"
    assert worker.complaints() == []


def test_a_push_that_leads_elsewhere_leads_to_the_portal(worker: Worker, portal: Portal) -> None:
    payload = portal.payload(data={"url": "https://evil.example/"})

    worker.push(payload)
    worker.wait_until_shown(payload)

    assert [each["data"]["url"] for each in worker.notifications()] == ["/portal/"]


def test_a_push_that_comes_twice_is_shown_once(worker: Worker, portal: Portal) -> None:
    first, last = portal.payload(title="Twice"), portal.payload(title="Last")

    for payload in (first, first, last):
        worker.push(payload)
    portal.wait_for(last["message_id"], "acked_at")
    worker.wait_until_shown(first, last)

    assert sorted(each["title"] for each in worker.notifications()) == ["Last", "Twice"]
    assert portal.message(first["message_id"])["status"] == "delivered"


def test_an_ack_does_not_wait_for_the_notification(chromium: Chromium, worker: Worker, portal: Portal) -> None:
    payload = portal.payload(title="Not shown")
    name = {"name": "notifications"}
    chromium.command("Browser.setPermission", origin=portal.url, permission=name, setting="denied")

    worker.push(payload)

    assert portal.wait_for(payload["message_id"], "acked_at")["status"] == "delivered"
    assert worker.notifications() == []
    assert worker.complaints() == []
    chromium.command("Browser.setPermission", origin=portal.url, permission=name, setting="granted")


def test_acks_of_an_offline_browser_go_out_with_the_next_push(worker: Worker, portal: Portal) -> None:
    first, second = portal.payload(), portal.payload()

    worker.offline(True)
    worker.push(first)
    wait_until(lambda: worker.waiting_acks() == 1, "ack that waits", pause_s=0.02)
    waited = portal.message(first["message_id"])["status"]
    worker.offline(False)
    worker.push(second)

    assert waited == "sent"
    assert portal.wait_for(first["message_id"], "acked_at")["status"] == "delivered"
    assert portal.wait_for(second["message_id"], "acked_at")["status"] == "delivered"
    wait_until(lambda: worker.waiting_acks() == 0, "empty queue", pause_s=0.02)


def test_acks_of_an_offline_browser_go_out_when_it_syncs(worker: Worker, portal: Portal) -> None:
    payloads = [portal.payload() for _ in range(3)]

    worker.offline(True)
    for payload in payloads:
        worker.push(payload)
    wait_until(lambda: worker.waiting_acks() == 3, "acks that wait", pause_s=0.02)
    worker.offline(False)
    worker.sync()

    for payload in payloads:
        assert (
            portal.wait_for(payload["message_id"], "acked_at")["received_at"]
            < portal.wait_for(payload["message_id"], "acked_at")["acked_at"]
        )


def test_acks_of_an_offline_browser_go_out_when_the_page_is_opened(
    worker: Worker, page: Target, portal: Portal
) -> None:
    payload = portal.payload()

    worker.offline(True)
    worker.push(payload)
    wait_until(lambda: worker.waiting_acks() >= 1, "ack that waits", pause_s=0.02)
    worker.offline(False)
    Page(page, portal).visit()

    assert portal.wait_for(payload["message_id"], "acked_at")["status"] == "delivered"


def test_an_ack_that_the_server_refuses_is_not_sent_for_ever(worker: Worker, portal: Portal) -> None:
    payload, after = portal.payload(), portal.payload()

    worker.push({**payload, "ack_token": "forged.proof"})
    worker.push(after)
    worker.wait_until_shown(after)
    wait_until(lambda: worker.waiting_acks() == 0, "empty queue", pause_s=0.02)

    assert portal.message(payload["message_id"])["status"] == "sent"
