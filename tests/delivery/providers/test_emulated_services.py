"""FCM and APNs against the emulated services: what only a service that keeps count can show."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from delivery.outcomes import NO_ANSWER, Outcome, OutcomeKind
from delivery.providers.apns import Apns
from delivery.providers.base import Message, Provider
from delivery.providers.fcm import Fcm
from simulator.services import EmulatedApns, EmulatedFcm, running
from tests.delivery.providers.rig import MESSAGE


@pytest.fixture
def fcm_service() -> Iterator[EmulatedFcm]:
    with running(EmulatedFcm()) as service:
        yield service


@pytest.fixture
def apns_service() -> Iterator[EmulatedApns]:
    with running(EmulatedApns()) as service:
        yield service


Service = EmulatedFcm | EmulatedApns


@pytest.fixture(params=["fcm_service", "apns_service"])
def service(request: pytest.FixtureRequest) -> Service:
    service: Service = request.getfixturevalue(request.param)
    return service


def provider(service: Service, **changes: Any) -> Provider:
    kind = Fcm if isinstance(service, EmulatedFcm) else Apns
    return kind.from_config({**service.describe(), "url": service.url, "ca_file": str(service.ca_file), **changes})


def messages(service: Service, count: int) -> list[Message]:
    """To 50 devices, each with an id of its own."""
    addresses = [service.new_address() for _ in range(min(count, 50))]
    now = datetime.now(UTC)
    return [
        replace(MESSAGE, message_id=str(uuid4()), address=addresses[number % 50], sent_at=now)
        for number in range(count)
    ]


def send(provider: Provider, *batches: Sequence[Message]) -> list[Outcome]:
    async def one_after_the_other() -> list[Outcome]:
        try:
            return [outcome for batch in batches for outcome in await provider.send(batch)]
        finally:
            await provider.aclose()

    return asyncio.run(one_after_the_other())


def test_what_is_accepted_was_taken_once(service: Service) -> None:
    sent = messages(service, 300)

    outcomes = send(provider(service), sent)

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert [service.times_accepted(message.message_id) for message in sent] == [1] * 300


def test_one_stream_and_a_goaway_every_400_requests_lose_and_double_nothing(apns_service: EmulatedApns) -> None:
    apns_service.does("goaway", limit=400)
    sent = messages(apns_service, 5000)

    outcomes = send(provider(apns_service), *(sent[start : start + 500] for start in range(0, 5000, 500)))

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert {apns_service.times_accepted(message.message_id) for message in sent} == {1}
    assert 12 <= apns_service.listening.opened <= 40


def test_an_access_token_that_ends_midway_burns_no_message(fcm_service: EmulatedFcm) -> None:
    first, second = messages(fcm_service, 100), messages(fcm_service, 100)

    async def expire_between(fcm: Provider) -> list[Outcome]:
        outcomes = await fcm.send(first)
        fcm_service.tokens.expire_all()
        outcomes += await fcm.send(second)
        await fcm.aclose()
        return outcomes

    outcomes = asyncio.run(expire_between(provider(fcm_service)))

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert fcm_service.tokens.given == 2


def test_a_wrong_topic_is_ours_and_no_devices(apns_service: EmulatedApns) -> None:
    outcomes = send(provider(apns_service, topic="org.homepot.other"), messages(apns_service, 50))

    assert {(o.kind, o.code) for o in outcomes} == {(OutcomeKind.MISCONFIGURED, "TopicDisallowed")}


def test_a_wrong_project_is_ours_and_no_devices(fcm_service: EmulatedFcm) -> None:
    outcomes = send(provider(fcm_service, project_id="another"), messages(fcm_service, 50))

    assert {(o.kind, o.code) for o in outcomes} == {(OutcomeKind.MISCONFIGURED, "NOT_FOUND")}


def test_an_address_that_is_gone_says_since_when(apns_service: EmulatedApns) -> None:
    [message] = messages(apns_service, 1)
    apns_service.retire([message.address])

    [outcome] = send(provider(apns_service), [message])

    assert (outcome.kind, outcome.code) == (OutcomeKind.ADDRESS_GONE, "Unregistered")
    assert outcome.gone_since is not None
    assert abs(outcome.gone_since - datetime.now(UTC)) < timedelta(seconds=30)


@pytest.mark.parametrize("body", ["html", "nothing", "huge", "gzip-bomb"])
def test_garbage_is_an_unknown_outcome(service: Service, body: str) -> None:
    service.does("garbage", body=body)

    [outcome] = send(provider(service), messages(service, 1))

    assert (outcome.kind, outcome.code) == (OutcomeKind.RETRY, "unreadable_answer")


@pytest.mark.parametrize(("fault", "taken"), [("reset-before", 0), ("reset-after", 1)])
def test_a_reset_never_tells_whether_it_was_taken_and_is_tried_once(service: Service, fault: str, taken: int) -> None:
    service.does(fault)
    [message] = messages(service, 1)

    [outcome] = send(provider(service), [message])

    assert (outcome.kind, outcome.code) == (OutcomeKind.RETRY, NO_ANSWER)
    assert service.times_accepted(message.message_id) == taken


@pytest.mark.parametrize(("fault", "options"), [("hang", {}), ("drip", {"delay_s": 10})])
def test_a_hung_or_dripping_answer_ends_at_the_deadline(service: Service, fault: str, options: dict[str, Any]) -> None:
    service.does(fault, **options)

    outcomes = send(provider(service, deadline_s=0.5), messages(service, 20))

    assert {(outcome.kind, outcome.code) for outcome in outcomes} == {(OutcomeKind.RETRY, NO_ANSWER)}
