"""What every provider keeps, whatever it speaks. Each test runs over all of `conftest.RIGS`."""

import asyncio
import logging
import time
from dataclasses import replace

import pytest

from delivery.outcomes import NO_ANSWER, Outcome, OutcomeKind
from delivery.providers.base import Message, Provider
from tests.delivery.providers.rig import SECRET_ADDRESS, SECRET_TOKEN, Rig, send


def test_answers_in_the_order_of_the_messages(rig: Rig) -> None:
    messages = rig.messages(40)
    for position in (0, 17, 39):
        messages[position] = oversized(rig, messages[position].message_id)

    outcomes = send(rig.healthy(), messages)

    refused = [position for position, outcome in enumerate(outcomes) if outcome.kind is not OutcomeKind.ACCEPTED]
    assert refused == [0, 17, 39]


def test_sends_each_message_once(rig: Rig) -> None:
    messages = rig.messages(150)

    outcomes = send(rig.healthy(), messages)

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert sorted(rig.seen(150)) == [message.message_id for message in messages]


def test_calls_a_refused_connection_an_unknown_outcome(rig: Rig) -> None:
    started = time.monotonic()

    outcomes = send(rig.unreachable(), rig.messages(5, address=rig.unreachable_address))

    assert {(outcome.kind, outcome.code) for outcome in outcomes} == {(OutcomeKind.RETRY, NO_ANSWER)}
    assert time.monotonic() - started < 3


def test_gives_up_at_the_deadline(rig: Rig) -> None:
    started = time.monotonic()

    outcomes = send(rig.silent(0.5), rig.messages(150, address=rig.silent_address))

    assert {(outcome.kind, outcome.code) for outcome in outcomes} == {(OutcomeKind.RETRY, NO_ANSWER)}
    assert 0.4 < time.monotonic() - started < 8


def test_refuses_what_is_too_large_and_keeps_the_channel(rig: Rig) -> None:
    [outcome] = send(rig.healthy(), [oversized(rig)])

    assert outcome.kind is OutcomeKind.REJECTED


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({}, id="empty"),
        pytest.param({"title": None, "body": None, "data": None}, id="nulls"),
        pytest.param({"title": "\ud800", "body": "\x00\uffff"}, id="lone surrogate"),
        pytest.param({"title": "日本語 🍣", "body": "\r\nX-Evil: 1"}, id="line breaks"),
        pytest.param({"data": {"a": {"b": [1, None, 2.5, True]}}}, id="nested data"),
        pytest.param({"data": {"n": 10**400}}, id="huge number"),
        pytest.param({"platforms": {"fcm": {"x": 1}}, "badge": "three"}, id="hints of other platforms"),
    ],
)
def test_never_raises_for_odd_content(rig: Rig, content: dict[str, object]) -> None:
    [outcome] = send(rig.healthy(), [replace(rig.messages(1)[0], content=content)])

    assert isinstance(outcome, Outcome)


@pytest.mark.parametrize("address", ["", "x" * 10_000, "\r\nHost: evil", "{}", "not an address \ud800"])
def test_never_raises_for_an_odd_address(rig: Rig, address: str) -> None:
    [outcome] = send(rig.healthy(), rig.messages(1, address=address))

    assert isinstance(outcome, Outcome)


def test_shows_neither_address_nor_token(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    outcomes = [
        *send(rig.healthy(), [*rig.messages(2), oversized(rig)]),
        *send(rig.unreachable(), rig.messages(1, address=rig.unreachable_address)),
        *send(rig.silent(0.2), rig.messages(1, address=rig.silent_address)),
    ]

    shown = caplog.text + "".join(outcome.detail + outcome.code for outcome in outcomes)
    assert SECRET_TOKEN not in shown
    assert SECRET_ADDRESS not in shown


def test_says_in_a_few_words_what_happened(rig: Rig) -> None:
    [unreachable] = send(rig.unreachable(), rig.messages(1, address=rig.unreachable_address))
    [refused] = send(rig.healthy(), [oversized(rig)])

    assert all(0 < len(outcome.detail) <= 500 for outcome in (unreachable, refused))


def test_survives_a_new_event_loop(rig: Rig) -> None:
    provider = rig.healthy()

    first = asyncio.run(provider.send(rig.messages(3)))
    second = asyncio.run(send_and_close(provider, rig))

    assert {outcome.kind for outcome in [*first, *second]} == {OutcomeKind.ACCEPTED}


def test_starts_and_closes_any_number_of_times(rig: Rig) -> None:
    provider = rig.healthy()

    async def life() -> list[Outcome]:
        await provider.aclose()
        await provider.start()
        await provider.start()
        await provider.aclose()
        await provider.aclose()
        return await send_and_close(provider, rig)

    assert {outcome.kind for outcome in asyncio.run(life())} == {OutcomeKind.ACCEPTED}


def test_sends_on_after_a_batch_was_cancelled(rig: Rig) -> None:
    provider = rig.healthy()

    async def life() -> list[Outcome]:
        await provider.start()
        batch = asyncio.ensure_future(provider.send(rig.messages(200)))
        await asyncio.sleep(0)
        batch.cancel()
        await asyncio.wait([batch])
        return await send_and_close(provider, rig)

    assert {outcome.kind for outcome in asyncio.run(life())} == {OutcomeKind.ACCEPTED}


async def send_and_close(provider: Provider, rig: Rig) -> list[Outcome]:
    try:
        return await provider.send(rig.messages(3))
    finally:
        await provider.aclose()


def oversized(rig: Rig, message_id: str = "019a0000-0000-7000-8000-00000000ffff") -> Message:
    largest = type(rig.healthy()).max_payload_bytes
    return replace(rig.messages(1, content={"title": "t", "body": "x" * largest})[0], message_id=message_id)
