"""Firefox gets encrypted pushes from the product, end to end: subscribed, decrypted, acked at the real web server."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.web.marionette import FIREFOX, Firefox
from tests.clients.web.page import Page
from tests.clients.web.product import PERSON, Portal
from tests.journey.api import wait_until

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]

PERMISSION = "permissions.default.desktop-notification"
ALLOWED, DENIED = 1, 2


@pytest.fixture(scope="module")
def firefox(portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    if FIREFOX is None:
        pytest.skip("Firefox is missing (Debian: firefox-esr)")
    with Firefox(tmp_path_factory.mktemp("firefox"), portal.services.browsers.url) as firefox:
        Page(firefox, portal).sign_in()
        yield firefox


@pytest.fixture
def page(firefox: Firefox, portal: Portal) -> Page:
    """Open, and receiving."""
    page = Page(firefox, portal)
    page.visit()
    if not page.receives:
        page.press()
    assert page.receives
    return page


def device(portal: Portal) -> str:
    """Which one this browser is, as the record knows it."""
    return str(channel(portal)["device_id"])


def channel(portal: Portal, person: str = PERSON) -> dict[str, Any]:
    """The one of this person's that is not gone, the newest where the server has not heard of an end yet."""
    return portal.record.rows(
        "SELECT d.device_id, d.name, c.address FROM delivery_channel c JOIN delivery_device d ON d.id = c.device_id"
        " JOIN auth_user u ON u.id = d.owner_id WHERE u.username = %s AND c.state = 'active' ORDER BY c.id DESC",
        person,
    )[0]


def active(portal: Portal, device_id: str) -> int:
    """How many addresses the server would send to."""
    return portal.record.number(
        "SELECT count(*) FROM delivery_channel c JOIN delivery_device d ON d.id = c.device_id"
        " WHERE d.device_id = %s AND c.state = 'active'",
        device_id,
    )


def told(what: str, message: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """How long it took, on the terminal."""
    acked_ms = round((message["acked_at"] - message["created_at"]).total_seconds() * 1000)
    text = (
        f"Firefox, {what}: received {message['latency_ms']} ms after it was sent, acked {acked_ms} ms after its order"
    )
    with capsys.disabled():
        print(f"\n{text}")  # noqa: T201


def test_a_push_reaches_the_worker_and_its_ack_the_record(
    page: Page, portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = portal.send(device(portal), title="New prices", body="Valid from today")

    message = portal.wait_for(sent, "latency_ms")

    assert (message["status"], message["provider"]) == ("delivered", "web_push")
    told("page open", message, capsys)


def test_a_message_that_the_page_shows_is_opened(page: Page, portal: Portal) -> None:
    sent = portal.send(device(portal), title="Look here", body="Grüße 🔥")

    message = portal.wait_for(sent, "opened_at")

    assert page.shows("Look here")
    assert page.shows("Grüße 🔥")
    assert message["clicked_at"] is None


def test_a_clicked_notification_is_acked_and_opens_the_portal(firefox: Firefox, page: Page, portal: Portal) -> None:
    sent = portal.send(device(portal), title="Click me")
    portal.wait_for(sent, "acked_at")
    firefox.go("about:blank")

    firefox.click_notification()
    message = portal.wait_for(sent, "clicked_at")
    wait_until(lambda: firefox.other_tabs() == [f"{portal.url}/portal/"], "tab with the portal")
    firefox.other_tabs(close=True)

    assert message["status"] == "delivered"


def test_a_browser_that_was_closed_gets_what_waited_and_what_comes_with_no_page_open(
    firefox: Firefox, page: Page, portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    own = device(portal)

    firefox.quit()
    waited = portal.send(own)
    portal.wait_for(waited, "sent_at")
    firefox.start()
    portal.wait_for(waited, "acked_at")
    fresh = portal.wait_for(portal.send(own), "latency_ms")

    assert firefox.command("WebDriver:GetCurrentURL")["value"] == "about:blank"
    told("restarted, no page open", fresh, capsys)


def test_a_browser_that_its_push_service_forgot_subscribes_anew_by_itself(
    firefox: Firefox, page: Page, portal: Portal
) -> None:
    before = channel(portal)
    firefox.go("about:blank")

    portal.forget_browsers()
    wait_until(lambda: channel(portal)["address"] != before["address"], "another address")
    message = portal.wait_for(portal.send(before["device_id"]), "acked_at")

    assert message["status"] == "delivered"
    assert channel(portal)["device_id"] == before["device_id"]


def test_a_browser_that_stops_receiving_is_gone_for_the_server(page: Page, portal: Portal) -> None:
    own = device(portal)

    page.press()

    assert not page.receives
    assert active(portal, own) == 0
    assert page.shows("None yet")


@pytest.fixture
def bo(portal: Portal) -> tuple[str, str]:
    """Another person's name and password."""
    name, password = f"bo-{secrets.token_hex(4)}", secrets.token_urlsafe(12)
    portal.add_person(name, password)
    return name, password


def test_the_next_person_in_the_same_browser_sees_nothing_of_the_one_before(
    page: Page, portal: Portal, bo: tuple[str, str]
) -> None:
    before = device(portal)
    portal.wait_for(portal.send(before, title="For the first"), "opened_at")

    page.sign_out()
    page.sign_in(*bo)
    seen, receives = page.shows("For the first"), page.receives
    page.press()
    own = channel(portal, bo[0])
    page.sign_out()
    page.sign_in()

    assert (seen, receives) == (False, False)
    assert own["device_id"] != before
    assert own["name"] == "Firefox on Linux"


def test_an_address_that_the_server_has_of_somebody_else_is_given_up_for_a_new_one(
    firefox: Firefox, page: Page, portal: Portal, bo: tuple[str, str]
) -> None:
    before = channel(portal)
    firefox.run("import('/static/portal/store.js').then((store) => store.forget())")

    page.sign_out()
    page.sign_in(*bo)
    page.press()
    receives, own = page.receives, channel(portal, bo[0])
    page.sign_out()
    page.sign_in()

    assert receives
    assert own["address"] != before["address"]


def test_says_that_notifications_are_blocked(firefox: Firefox, page: Page) -> None:
    page.press()
    firefox.prefer(PERMISSION, DENIED)

    page.press()

    firefox.prefer(PERMISSION, ALLOWED)
    assert (page.receives, page.problem) == (False, "denied")


def test_says_that_the_server_has_no_key(page: Page, portal: Portal) -> None:
    page.press()

    with portal.without_web_push():
        page.press()

    assert (page.receives, page.problem) == (False, "no_key")


def test_says_that_the_push_service_does_not_answer(firefox: Firefox, page: Page, portal: Portal) -> None:
    page.press()
    portal.services.browsers.silent = True

    said = firefox.run(
        "Promise.all([import('/static/portal/subscription.js'), navigator.serviceWorker.ready])"
        ".then(([module, worker]) => module.subscribe(worker, '1', 0.2)).catch((problem) => problem.code)"
    )

    portal.services.browsers.silent = False
    assert said == "push_service_silent"
