"""WNS against local services: what a device gets, how the token is fetched and guarded, what the answers mean."""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

import pytest

from delivery.outcomes import NO_ANSWER, Outcome, OutcomeKind
from delivery.priority import Priority
from delivery.providers.base import ConfigError, Message
from delivery.providers.blame import REFUSALS_THAT_ACCUSE_US
from delivery.providers.egress import Refused, resolve, rule
from delivery.providers.egress_client import Egress
from delivery.providers.http import Answer, Http
from delivery.providers.wns import CHANNEL_HOSTS, Wns, outcome_of, token_request
from delivery.providers.wns_message import notification
from delivery.providers.wns_token import HOLD_FAILURE_S, RENEW_EVERY_S, WnsToken, failure_of
from tests.delivery.providers.local_servers import Http1Server, Received, Reply, authority

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CHANNEL = "https://wns2-am3p.notify.windows.com/w/?token=secret"
RECEIVED = Reply(200, headers={"X-WNS-Status": "received", "X-WNS-Msg-ID": "2C1B0A99"})
SETTINGS = {"client_id": "app", "client_secret": "s3cret&=", "tenant_id": "contoso.example"}
TOAST = {"wns": {"type": "toast"}}


def message(address: str = CHANNEL, **changes: Any) -> Message:
    made = Message(
        message_id="0190a5b6-0000-7000-8000-000000000001",
        device_id="kiosk-1",
        address=address,
        content={"title": "Closing", "body": "The shop closes at ten", "data": {"shift": 2}},
        priority=Priority.HIGH,
        sent_at=NOW,
        ttl_s=300,
        ack_token="proof",
        ack_url="https://push.example/api/v1/push/ack",
    )
    return replace(made, **changes)


class Microsoft:
    """Token service and channels on one port. `answer` decides on a send by its token and path."""

    def __init__(self, answer: Callable[[Received], Reply] = lambda _: RECEIVED, **first: Any) -> None:
        self.answer = answer
        self.expires_in: Any = "86399"
        self.token_replies: list[Reply] = []
        self.server = Http1Server(self._reply, tls=True)
        vars(self).update(first)

    def __enter__(self) -> "Microsoft":
        self.server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__()

    @property
    def token_requests(self) -> list[Received]:
        return [request for request in self.server.received if request.path.startswith("/token")]

    @property
    def sends(self) -> list[Received]:
        return [request for request in self.server.received if not request.path.startswith("/token")]

    def channel(self, name: str = "one") -> str:
        return f"{self.server.url}/w/?token={name}"

    def provider(self, clock: Callable[[], float] | None = None) -> Wns:
        url, form = token_request({**SETTINGS, "token_url": f"{self.server.url}/token"})
        http = Http(ca_file=authority().ca_file, window=1)
        return Wns(
            token=WnsToken(http=http, url=url, form=form, clock=clock)
            if clock
            else WnsToken(http=http, url=url, form=form),
            allowed=rule({"allow_origins": self.server.url}, CHANNEL_HOSTS),
            egress=Egress(ca_file=authority().ca_file),
        )

    def _reply(self, request: Received) -> Reply:
        if not request.path.startswith("/token"):
            return self.answer(request)
        if self.token_replies:
            return self.token_replies.pop(0)
        issued = {"token_type": "Bearer", "expires_in": self.expires_in, "access_token": f"t{len(self.token_requests)}"}
        return Reply(200, json.dumps({key: value for key, value in issued.items() if value is not None}).encode())


def run(provider: Wns, work: Callable[[Wns], Coroutine[Any, Any, list[Outcome]]]) -> list[Outcome]:
    async def and_close() -> list[Outcome]:
        try:
            return await work(provider)
        finally:
            await provider.aclose()

    return asyncio.run(and_close())


def send(provider: Wns, *messages: Message) -> list[Outcome]:
    return run(provider, lambda wns: wns.send(messages))


def push(reply: Reply = RECEIVED, **changes: Any) -> tuple[Outcome, Received]:
    with Microsoft(lambda _: reply) as microsoft:
        [outcome] = send(microsoft.provider(), message(microsoft.channel(), **changes))
    return outcome, microsoft.sends[0]


def bearer(request: Received) -> str:
    return request.headers["authorization"].removeprefix("Bearer ")


# What the device gets


def test_sends_the_wire_contract_raw() -> None:
    outcome, request = push()

    assert (outcome.kind, outcome.provider_message_id) == (OutcomeKind.ACCEPTED, "2C1B0A99")
    assert json.loads(request.body) == {
        "message_id": "0190a5b6-0000-7000-8000-000000000001",
        "sent_at": "2026-11-21T12:00:00+00:00",
        "title": "Closing",
        "body": "The shop closes at ten",
        "priority": "high",
        "data": {"shift": 2},
        "ack_token": "proof",
        "ack_url": "https://push.example/api/v1/push/ack",
    }


def test_names_type_ttl_priority_cache_and_length() -> None:
    _, request = push(ttl_s=77, priority=Priority.NORMAL)

    wanted = {
        "authorization": "Bearer t1",
        "content-type": "application/octet-stream",
        "content-length": str(len(request.body)),
        "x-wns-type": "wns/raw",
        "x-wns-ttl": "77",
        "x-wns-priority": "2",
        "x-wns-cache-policy": "cache",
        "x-wns-requestforstatus": "true",
    }
    assert {name: request.headers.get(name) for name in wanted} == wanted
    assert not {"transfer-encoding", "expect"} & request.headers.keys()


@pytest.mark.parametrize(
    ("priority", "number"),
    [(Priority.CRITICAL, "1"), (Priority.HIGH, "1"), (Priority.NORMAL, "2"), (Priority.LOW, "3")],
)
def test_turns_priority_into_windows_priority(priority: Priority, number: str) -> None:
    assert notification(message(priority=priority)).headers["x-wns-priority"] == number


def test_asks_for_the_channel_as_it_was_given() -> None:
    with Microsoft() as microsoft:
        send(microsoft.provider(), message(f"{microsoft.server.url}/w/?token=AwYAAAB%2fQAhY%3d%3d"))

    assert microsoft.sends[0].path == "/w/?token=AwYAAAB%2fQAhY%3d%3d"


def toast_of(**content: Any) -> ElementTree.Element:
    sent = notification(message(content={"platforms": TOAST, **content}))
    assert (sent.headers["x-wns-type"], sent.headers["content-type"]) == ("wns/toast", "text/xml")
    assert "x-wns-cache-policy" not in sent.headers
    return ElementTree.fromstring(sent.body)


def test_shows_a_toast_where_the_order_asks_for_it() -> None:
    toast = toast_of(
        title="Closing",
        body="At ten",
        image="https://cdn.example/big.png",
        icon="https://cdn.example/i.png",
        thread_id="shifts",
        sound="ms-winsoundevent:Notification.Looping.Alarm",
        scenario="urgent",
        data={"shift": 2},
    )

    assert [text.text for text in toast.iter("text")] == ["Closing", "At ten"]
    assert [(image.get("placement"), image.get("src")) for image in toast.iter("image")] == [
        ("hero", "https://cdn.example/big.png"),
        ("appLogoOverride", "https://cdn.example/i.png"),
    ]
    assert toast.find("header") is not None
    assert toast.find("audio[@src='ms-winsoundevent:Notification.Looping.Alarm']") is not None
    assert toast.get("scenario") == "urgent"


def test_hands_the_app_of_a_toast_what_it_needs_to_ack() -> None:
    launch = json.loads(toast_of(title="Closing", data={"shift": 2}).attrib["launch"])

    assert launch == {
        "message_id": "0190a5b6-0000-7000-8000-000000000001",
        "sent_at": "2026-11-21T12:00:00+00:00",
        "priority": "high",
        "data": {"shift": 2},
        "ack_token": "proof",
        "ack_url": "https://push.example/api/v1/push/ack",
    }


def test_gives_a_toast_its_buttons() -> None:
    open_, web, *_ = toast_of(
        title="x",
        actions=[{"action": "open", "title": "Open"}, {"title": "Web", "url": "https://a.example/"}, "no", {}]
        + [{"action": str(n), "title": str(n)} for n in range(9)],
    ).iter("action")

    assert json.loads(open_.attrib["arguments"])["action"] == "open"
    assert (open_.get("content"), open_.get("activationType")) == ("Open", "foreground")
    assert (web.get("activationType"), web.get("arguments")) == ("protocol", "https://a.example/")


def test_gives_a_toast_at_most_five_buttons() -> None:
    toast = toast_of(title="x", actions=[{"action": str(n), "title": str(n)} for n in range(9)])

    assert len(list(toast.iter("action"))) == 5


def test_starts_no_program_from_a_button() -> None:
    [action] = toast_of(title="x", actions=[{"title": "Run", "url": "ms-settings:privacy"}]).iter("action")

    assert action.get("activationType") == "foreground"


def test_silences_a_toast() -> None:
    assert toast_of(title="x", sound="none").find("audio[@silent='true']") is not None


@pytest.mark.parametrize(
    "text",
    ["</text></binding><x>", "a & b", '"quoted"', "bell \x07", "half \ud83d", "\x00", "𝄞 ok", "]]>", "a\r\nb", 7],
)
def test_makes_xml_that_no_text_can_break(text: Any) -> None:
    toast = toast_of(title=text, body=text, thread_id=text, icon=text, actions=[{"title": text, "action": text}])

    assert [element.tag for element in toast.iter("text")] == ["text", "text"]
    assert {element.tag for element in toast.iter()} <= {
        *("toast", "visual", "binding", "text", "image", "actions", "action", "header")
    }


@pytest.mark.parametrize("actions", [None, 7, "x", {}, [None], [[]], [{"title": ""}]])
def test_ignores_buttons_that_are_none(actions: Any) -> None:
    assert toast_of(title="x", actions=actions).find("actions") is None


def test_lets_an_order_say_something_to_windows_alone() -> None:
    own = {"wns": {"title": "For Windows"}, "fcm": {"title": "no"}}

    sent = json.loads(notification(message(content={"title": "For all", "body": "b", "platforms": own})).body)

    assert (sent["title"], sent["body"], "platforms" in sent) == ("For Windows", "b", False)


def test_takes_5000_bytes_and_refuses_one_more_without_a_connection() -> None:
    spare = Wns.max_payload_bytes - len(notification(message(content={"data": {"x": ""}})).body)
    with Microsoft() as microsoft:
        fits = message(microsoft.channel(), content={"data": {"x": "y" * spare}})
        large = message(microsoft.channel(), content={"data": {"x": "y" * (spare + 1)}})

        taken, refused = send(microsoft.provider(), fits, large)

    assert taken.kind is OutcomeKind.ACCEPTED
    assert (refused.kind, refused.code) == (OutcomeKind.REJECTED, "payload_too_large")
    assert [len(request.body) for request in microsoft.sends] == [5000]
    assert len(microsoft.provider().payload_bytes(large)) == 5001


# What the answers mean


def answer(status: int, **named: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in named.items()}, b"")


@pytest.mark.parametrize(
    ("given", "kind", "code"),
    [
        (answer(200, x_wns_status="received"), "accepted", ""),
        (answer(200, x_wns_status="received", x_wns_deviceconnectionstatus="connected"), "accepted", ""),
        (answer(200, x_wns_status="received", x_wns_deviceconnectionstatus="disconnected"), "accepted", "disconnected"),
        (answer(200), "retry", "unreadable_answer"),
        (answer(200, content_type="text/html"), "retry", "unreadable_answer"),
        (answer(200, x_wns_msg_id="2C1B0A99"), "accepted", ""),
        (answer(200, x_wns_status="something new"), "accepted", ""),
        (answer(201, x_wns_status="received"), "accepted", ""),
        (answer(200, x_wns_status="dropped"), "rejected", "dropped"),
        (answer(200, x_wns_notificationstatus="dropped"), "rejected", "dropped"),
        (answer(200, x_wns_status="channelthrottled"), "retry", "channelthrottled"),
        (answer(302, location="https://elsewhere.example/"), "rejected", "http_302"),
        (answer(400, x_wns_status="dropped"), "rejected", "http_400"),
        (answer(401), "misconfigured", "http_401"),
        (answer(403), "misconfigured", "http_403"),
        (answer(404), "address_gone", "http_404"),
        (answer(405), "rejected", "http_405"),
        (answer(406), "throttled", "http_406"),
        (answer(408), "retry", "http_408"),
        (answer(410, x_wns_error_description="The channel expired"), "address_gone", "http_410"),
        (answer(410, x_wns_error_description="Domain Blocked"), "misconfigured", "domain_blocked"),
        (answer(413), "rejected", "http_413"),
        (answer(418), "rejected", "http_418"),
        (answer(429), "throttled", "http_429"),
        (answer(500), "retry", "http_500"),
        (answer(502), "retry", "http_502"),
        (answer(503), "retry", "http_503"),
        (answer(600), "retry", "http_600"),
    ],
)
def test_knows_what_an_answer_means(given: Answer, kind: str, code: str) -> None:
    outcome = outcome_of(given, NOW)

    assert (outcome.kind.value, outcome.code) == (kind, code)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"x_wns_continue_after": "90"}, 90.0),
        ({"x_wns_continue_after": "90", "retry_after": "5"}, 90.0),
        ({"x_wns_continue_after": "soon", "retry_after": "5"}, 5.0),
        ({"x_wns_continue_after": "99999999999"}, 3600.0),
        ({"retry_after": "Sat, 21 Nov 2026 12:02:00 GMT"}, 120.0),
        ({"retry_after": "-1"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("given", [answer(406), answer(503), answer(200, x_wns_status="channelthrottled")])
def test_keeps_the_wait_that_wns_asks_for(given: Answer, headers: dict[str, str], wait_s: float | None) -> None:
    waiting = replace(given, headers={**given.headers, **answer(0, **headers).headers})

    assert outcome_of(waiting, NOW).retry_after_s == wait_s


@pytest.mark.parametrize(
    ("given", "of_address"), [(answer(200, x_wns_status="channelthrottled"), True), (answer(406), False)]
)
def test_a_channel_that_gets_too_much_says_nothing_of_wns(given: Answer, of_address: bool) -> None:
    assert outcome_of(given, NOW).of_address is of_address


def test_says_in_its_own_words_that_the_device_is_away() -> None:
    outcome = outcome_of(answer(200, x_wns_status="dropped", x_wns_deviceconnectionstatus="disconnected"), NOW)

    assert outcome.detail == "WNS answered 200, the device is disconnected"


def test_logs_what_microsoft_asks_for_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told = {"X-WNS-Status": "dropped", "X-WNS-Debug-Trace": "BN3WNS1", "MS-CV": "cv.1", "X-WNS-Msg-ID": "7F"}

    outcome, _ = push(Reply(400, headers={**told, "X-WNS-Error-Description": f"bad: {CHANNEL}"}))

    assert all(value in caplog.text for value in told.values())
    seen = caplog.text + repr(outcome)
    assert not any(secret in seen for secret in ("token=", "t1", "s3cret", "Closing"))


def test_never_follows_a_redirect_with_a_token() -> None:
    with Http1Server(tls=True) as elsewhere:
        outcome, _ = push(Reply(307, headers={"location": elsewhere.url}))

    assert (outcome.kind, elsewhere.connections) == (OutcomeKind.REJECTED, 0)


def test_calls_a_service_that_is_not_there_a_retry() -> None:
    with Microsoft() as microsoft:
        provider, address = microsoft.provider(), microsoft.channel()
        send(provider, message(address))

    [outcome] = send(provider, message(address))

    assert (outcome.kind, outcome.code) == (OutcomeKind.RETRY, NO_ANSWER)


def test_keeps_the_order_of_the_messages() -> None:
    with Microsoft(lambda request: Reply(410) if int(request.path.split("=")[1]) % 3 == 0 else RECEIVED) as microsoft:
        outcomes = send(microsoft.provider(), *(message(microsoft.channel(str(n))) for n in range(30)))

    assert [outcome.kind is OutcomeKind.ADDRESS_GONE for outcome in outcomes] == [n % 3 == 0 for n in range(30)]


# The token


def test_asks_entra_id_for_a_token() -> None:
    with Microsoft() as microsoft:
        send(microsoft.provider(), message(microsoft.channel()))

    [request] = microsoft.token_requests
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(request.body.decode(), strict_parsing=True) == {
        "grant_type": ["client_credentials"],
        "client_id": ["app"],
        "client_secret": ["s3cret&="],
        "scope": ["https://wns.windows.com/.default"],
    }


def test_knows_where_entra_id_and_live_com_give_tokens() -> None:
    entra, _ = token_request(SETTINGS)
    live, form = token_request({"client_id": "ms-app://S-1-15-2-1", "client_secret": "x"})

    assert entra == "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token"
    assert (live, form["scope"]) == ("https://login.live.com/accesstoken.srf", "notify.windows.com")


def test_fetches_one_token_for_many_messages() -> None:
    with Microsoft() as microsoft:
        provider = microsoft.provider()
        outcomes = run(provider, lambda wns: two_batches(wns, microsoft))

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert (len(microsoft.token_requests), len(microsoft.sends)) == (1, 40)


async def two_batches(wns: Wns, microsoft: Microsoft) -> list[Outcome]:
    batch = [message(microsoft.channel(str(n))) for n in range(20)]
    return await wns.send(batch) + await wns.send(batch)


@pytest.mark.parametrize(
    ("expires_in", "kept_s"), [("86399", 86_000), (3600, 3000), (None, 3000), ("x", 3000), (60, 29)]
)
def test_refreshes_the_token_before_it_expires(expires_in: Any, kept_s: float) -> None:
    now = [0.0]

    async def three_sends(wns: Wns) -> list[Outcome]:
        outcomes = []
        for moment in (0.0, kept_s, kept_s + 700):
            now[0] = moment
            outcomes.append(await wns.send_one(message(microsoft.channel())))
        return outcomes

    with Microsoft(expires_in=expires_in) as microsoft:
        run(microsoft.provider(lambda: now[0]), three_sends)

    assert [bearer(request) for request in microsoft.sends] == ["t1", "t1", "t2"]


def test_fetches_one_new_token_when_the_old_one_is_refused() -> None:
    with Microsoft(lambda request: Reply(401) if bearer(request) == "t1" else RECEIVED) as microsoft:
        outcomes = send(microsoft.provider(), *(message(microsoft.channel(str(n))) for n in range(20)))

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert len(microsoft.token_requests) == 2


def test_is_misconfigured_when_the_new_token_is_refused_too() -> None:
    now = [1000.0]

    async def sends(wns: Wns) -> list[Outcome]:
        first = [await wns.send_one(message(microsoft.channel())) for _ in range(3)]
        now[0] += RENEW_EVERY_S
        return [*first, await wns.send_one(message(microsoft.channel()))]

    with Microsoft(lambda _: Reply(401)) as microsoft:
        outcomes = run(microsoft.provider(lambda: now[0]), sends)

    assert {(outcome.kind, outcome.code) for outcome in outcomes} == {(OutcomeKind.MISCONFIGURED, "http_401")}
    assert [bearer(request) for request in microsoft.sends] == ["t1", "t2", "t2", "t2", "t2", "t3"]


@pytest.mark.parametrize(
    ("reply", "kind", "code", "wait_s"),
    [
        (Reply(400, b'{"error": "invalid_client"}'), "misconfigured", "invalid_client", None),
        (Reply(401, b'{"error": "unauthorized_client"}'), "misconfigured", "unauthorized_client", None),
        (Reply(404, b"no such tenant"), "misconfigured", "http_404", None),
        (Reply(400, b'{"error": "temporarily_unavailable"}'), "retry", "temporarily_unavailable", None),
        (Reply(429, headers={"retry-after": "7"}), "retry", "http_429", 7.0),
        (Reply(503, b"<html>", headers={"retry-after": "30"}), "retry", "http_503", 30.0),
        (Reply(302, headers={"location": "https://elsewhere.example/"}), "retry", "http_302", None),
        (Reply(200, b"<html>"), "retry", "http_200", None),
        (Reply(200, b'{"access_token": 7}'), "retry", "http_200", None),
        (Reply(200, b'{"access_token": "a\\r\\nb"}'), "retry", "http_200", None),
        (Reply(500, b"[" * 60_000), "retry", "http_500", None),
    ],
)
def test_says_why_there_is_no_token(reply: Reply, kind: str, code: str, wait_s: float | None) -> None:
    with Microsoft(token_replies=[reply]) as microsoft:
        outcomes = send(microsoft.provider(), *(message(microsoft.channel()) for _ in range(10)))

    assert {(outcome.kind.value, outcome.code, outcome.retry_after_s) for outcome in outcomes} == {(kind, code, wait_s)}
    assert (len(microsoft.token_requests), microsoft.sends) == (1, [])


def test_asks_again_after_a_failed_token_request() -> None:
    now = [0.0]

    async def sends(wns: Wns) -> list[Outcome]:
        outcomes = []
        for moment in (0.0, HOLD_FAILURE_S - 1, HOLD_FAILURE_S + 1):
            now[0] = moment
            outcomes.append(await wns.send_one(message(microsoft.channel())))
        return outcomes

    with Microsoft(token_replies=[Reply(503)]) as microsoft:
        outcomes = run(microsoft.provider(lambda: now[0]), sends)

    assert [outcome.kind.value for outcome in outcomes] == ["retry", "retry", "accepted"]
    assert len(microsoft.token_requests) == 2


def test_keeps_no_secret_of_a_failed_token_request() -> None:
    outcome = failure_of(Answer(400, {}, b'{"error": "Bad s3cret", "error_description": "s3cret"}'), NOW)

    assert "s3cret" not in repr(outcome)


# Whose fault a 403 is


def test_blames_our_credential_where_no_channel_ever_took_it() -> None:
    outcome, _ = push(Reply(403))

    assert outcome.kind is OutcomeKind.MISCONFIGURED


def test_blames_the_channel_of_another_app_where_others_are_taken() -> None:
    async def sends(wns: Wns) -> list[Outcome]:
        names = ["own", *["foreign"] * (REFUSALS_THAT_ACCUSE_US + 1)]
        return [await wns.send_one(message(microsoft.channel(name))) for name in names]

    with Microsoft(lambda request: Reply(403) if request.path.endswith("foreign") else RECEIVED) as microsoft:
        taken, *refused, last = run(microsoft.provider(), sends)

    assert taken.kind is OutcomeKind.ACCEPTED
    assert {outcome.kind for outcome in refused} == {OutcomeKind.REJECTED}
    assert last.kind is OutcomeKind.MISCONFIGURED


# Channels that point elsewhere


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://localhost:{port}/w/?token=x",
        "https://127.0.0.1:{port}/w/?token=x",
        "http://db5.notify.windows.com:{port}/w/?token=x",
        "https://db5.notify.windows.com:{port}/w/?token=x",
        "https://notify.windows.com/w/?token=x",
        "https://db5.notify.windows.com.evil.example/w/?token=x",
        "https://evilnotify.windows.com/w/?token=x",
        "https://db5.notify.windows.com@localhost:{port}/w/?token=x",
        "not a channel",
        "",
    ],
)
def test_sends_no_token_to_a_channel_elsewhere(elsewhere: str) -> None:
    with Microsoft() as microsoft:
        url, form = token_request({**SETTINGS, "token_url": f"{microsoft.server.url}/token"})
        token = WnsToken(http=Http(ca_file=authority().ca_file), url=url, form=form)
        provider = Wns(token=token, allowed=rule({}, CHANNEL_HOSTS), egress=Egress(ca_file=authority().ca_file))
        address = elsewhere.format(port=microsoft.server.port)

        with pytest.raises(Refused):
            provider.check_address(address)
        [outcome] = send(provider, message(address))

    assert (outcome.kind, outcome.code) == (OutcomeKind.REJECTED, "refused_url")
    assert microsoft.server.connections == 0


def test_sends_no_token_to_a_name_that_points_inward() -> None:
    with Microsoft() as microsoft:
        url, form = token_request({**SETTINGS, "token_url": f"{microsoft.server.url}/token"})
        provider = Wns(
            token=WnsToken(http=Http(ca_file=authority().ca_file), url=url, form=form),
            allowed=rule({}, CHANNEL_HOSTS),
            egress=Egress(resolve=partial(resolve, ask=lambda host: ["10.0.0.1"])),
        )

        with pytest.raises(Refused, match="not public"):
            provider.check_address(CHANNEL, ask=lambda host: ["10.0.0.1"])
        [outcome] = send(provider, message())

    assert (outcome.kind, outcome.code, microsoft.sends) == (OutcomeKind.REJECTED, "refused_url", [])


# Settings


def test_builds_from_settings() -> None:
    Wns.from_config(SETTINGS).check_address(CHANNEL, ask=lambda host: ["9.9.9.9"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"client_id": ""}, "WNS_CLIENT_ID"),
        ({"client_secret": None}, "WNS_CLIENT_SECRET"),
        ({"tenant_id": ""}, "WNS_TENANT_ID"),
        ({"tenant_id": "../x"}, "WNS_TENANT_ID"),
    ],
)
def test_names_what_is_missing(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Wns.from_config({**SETTINGS, **changes})
