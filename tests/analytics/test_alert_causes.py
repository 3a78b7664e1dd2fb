"""What an alert most likely comes from."""

import pytest

from analytics.alert_causes import Ended, of_errors, of_fallback, of_site, of_slowness, of_verdicts

WELL, BAD, FEW = Ended(0, 40), Ended(20, 20), Ended(2, 1)


@pytest.mark.parametrize(
    ("here", "elsewhere", "begins"),
    [
        ({"fcm": BAD, "mqtt": WELL}, {"fcm": WELL, "mqtt": WELL}, "fcm is blocked or broken at this site: messages by"),
        ({"fcm": BAD, "mqtt": BAD}, {"fcm": WELL, "mqtt": WELL}, "The site's uplink, or its devices are off"),
        ({"fcm": BAD}, {"fcm": WELL}, "The site's uplink, its devices, or fcm is blocked there"),
        ({"fcm": BAD}, {"fcm": FEW}, "The site's uplink, its devices, or fcm is blocked there"),
        ({"fcm": BAD}, {}, "The site's uplink, its devices, or fcm is blocked there"),
        ({"fcm": BAD, "mqtt": WELL}, {"fcm": BAD}, "fcm: other sites miss messages there, too"),
        ({"fcm": BAD, "mqtt": BAD}, {"fcm": BAD, "mqtt": BAD}, "fcm and mqtt: other sites"),
        ({"fcm": FEW, "mqtt": FEW}, {}, "Spread over providers"),
    ],
)  # fmt: skip
def test_a_site_is_compared_with_the_others(here: dict[str, Ended], elsewhere: dict[str, Ended], begins: str) -> None:
    assert of_site(here, elsewhere, limit=0.05).startswith(begins)


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ({"uplink_down": 34, "device_offline": 6}, "Site uplink down: so 34 of 40 messages were judged."),
        ({"uplink_down": 5, "device_offline": 5}, "Site uplink down: so 5 of 10 messages were judged."),
        ({"uplink_down": 4, "device_offline": 3, "too_late": 3}, ""),
        ({"unknown": 9, "uplink_down": 1}, ""),
        ({"cancelled": 9}, ""),
        ({}, ""),
    ],
)
def test_what_most_messages_were_judged_to_be_missed_for(verdicts: dict[str, int], said: str) -> None:
    assert of_verdicts(verdicts) == said


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (
            {"retry": 9, "rejected": 1},
            "9 of 10 refusals are retry: the provider did not answer, or its servers failed.",
        ),
        ({"misconfigured": 3}, "3 of 3 refusals are misconfigured: our credential, its project or its topic."),
        ({"of_tomorrow": 1}, "1 of 1 refusals are of_tomorrow: of_tomorrow."),
        ({}, ""),
    ],
)
def test_errors_name_what_most_of_them_were(refused: dict[str, int], said: str) -> None:
    assert of_errors(refused) == said


@pytest.mark.parametrize(
    ("handoff_ms", "begins"), [(1600.0, "The provider is slow"), (900.0, "The way from"), (None, "The way from")]
)
def test_slowness_is_the_providers_where_it_takes_long_to_accept(handoff_ms: float | None, begins: str) -> None:
    assert of_slowness(3000.0, handoff_ms).startswith(begins)


@pytest.mark.parametrize(
    ("breakers", "errors", "begins"),
    [
        (["wns/default", "fcm/default"], {"mqtt": 0.5}, "Closed for now: fcm/default and wns/default."),
        ([], {"mqtt": 0.5, "fcm": 0.2}, "mqtt refuses the most: 50.0%"),
        ([], {"fcm": 0.0}, "Channels that are gone"),
        ([], {}, "Channels that are gone"),
    ],
)
def test_fallback_has_a_breaker_a_refusing_provider_or_dead_channels(
    breakers: list[str], errors: dict[str, float], begins: str
) -> None:
    assert of_fallback(breakers, errors).startswith(begins)
