import json
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from delivery.models import Device, Site
from tests.delivery.api.conftest import BOOTSTRAP_KEY, device_client

URL = "/api/v1/devices/bootstrap-provision"
HEARTBEAT = "/api/v1/agent/heartbeat"


def ask(client: APIClient, **changed: Any) -> Any:
    body = {"site_id": "berlin-1", "bootstrap_key": BOOTSTRAP_KEY, "device_name": "Till 7", **changed}
    return client.post(URL, body)


def use(data: dict[str, str]) -> int:
    client = device_client(data["device_id"], data["api_key"])
    return int(client.post(HEARTBEAT, {"device_id": data["device_id"], "status": "ONLINE"}).status_code)


def test_gives_a_new_device_its_id_and_key(anybody: APIClient, site: Site) -> None:
    response = ask(anybody)

    assert response.status_code == 200
    answer = response.json()
    assert {key: answer[key] for key in ("status", "message")} == {
        "status": "success",
        "message": "Device provisioned successfully",
    }
    assert answer["data"].keys() == {"device_id", "api_key", "site_id", "created_at", "epoch_id"}
    assert answer["data"]["site_id"] == "berlin-1"
    assert use(answer["data"]) == 200


def test_keeps_the_key_only_as_a_hash(anybody: APIClient, site: Site) -> None:
    data = ask(anybody).json()["data"]

    row = json.dumps(Device.objects.filter(device_id=data["device_id"]).values().get(), default=str)

    assert data["api_key"] not in row
    assert BOOTSTRAP_KEY not in row


@pytest.mark.parametrize(
    ("changed", "status", "detail"),
    [
        ({"bootstrap_key": "wrong"}, 401, "Wrong bootstrap key"),
        ({"bootstrap_key": "homepot-dev-emulator-key"}, 401, "Wrong bootstrap key"),
        ({"site_id": "nowhere"}, 404, "No such site"),
    ],
)
def test_says_what_does_not_fit(
    anybody: APIClient, site: Site, changed: dict[str, str], status: int, detail: str
) -> None:
    response = ask(anybody, **changed)

    assert response.status_code == status
    assert response.json() == {"detail": detail, "status_code": status}
    assert not Device.objects.exists()


def test_a_site_without_bootstrap_key_provisions_nobody(anybody: APIClient, site: Site) -> None:
    Site.objects.update(bootstrap_key_hash="")

    assert ask(anybody, bootstrap_key=BOOTSTRAP_KEY).status_code == 401


@pytest.mark.parametrize(
    "body",
    [{}, {"site_id": "berlin-1"}, {"site_id": 1.5, "bootstrap_key": []}, {"site_id": "a\r\nb", "bootstrap_key": "x"}],
)
def test_names_the_field_that_is_wrong(anybody: APIClient, site: Site, body: dict[str, Any]) -> None:
    response = anybody.post(URL, body)

    assert response.status_code == 422
    assert set(response.json()["detail"]) & {"site_id", "bootstrap_key"}


def test_a_lost_first_answer_is_repeated_with_a_fresh_key(anybody: APIClient, site: Site) -> None:
    lost = ask(anybody).json()["data"]

    again = ask(anybody).json()["data"]

    assert again["device_id"] == lost["device_id"]
    assert again["epoch_id"] != lost["epoch_id"]
    assert use(lost) == 401
    assert use(again) == 200


def test_a_name_whose_key_was_used_is_taken(anybody: APIClient, site: Site) -> None:
    use(ask(anybody).json()["data"])

    response = ask(anybody)

    assert response.status_code == 400
    assert response.json() == {"detail": "The site has a device of this name", "status_code": 400}


def test_a_name_provisioned_with_another_bootstrap_key_is_taken(
    anybody: APIClient, site: Site, settings: Settings
) -> None:
    ask(anybody)
    settings.DEBUG, settings.EMULATOR_BOOTSTRAP_KEY = True, "homepot-dev-emulator-key"

    response = ask(anybody, bootstrap_key="homepot-dev-emulator-key")

    assert response.status_code == 400


def test_the_same_name_is_free_at_another_site(anybody: APIClient, site: Site, other_site: Site) -> None:
    first = ask(anybody)

    second = ask(anybody, site_id="hamburg-1", bootstrap_key="another-key")

    assert (first.status_code, second.status_code) == (200, 200)


@pytest.mark.parametrize(
    ("debug", "address", "status"), [(True, "127.0.0.1", 200), (True, "192.0.2.1", 401), (False, "127.0.0.1", 401)]
)
def test_the_emulator_key_opens_on_this_machine_while_debugging(
    anybody: APIClient, site: Site, settings: Settings, debug: bool, address: str, status: int
) -> None:
    settings.DEBUG, settings.EMULATOR_BOOTSTRAP_KEY = debug, "homepot-dev-emulator-key"

    response = anybody.post(
        URL, {"site_id": "berlin-1", "bootstrap_key": "homepot-dev-emulator-key"}, REMOTE_ADDR=address
    )

    assert response.status_code == status


@pytest.mark.parametrize(("address", "forwarded"), [("192.0.2.1", "127.0.0.1"), ("127.0.0.1", "192.0.2.1")])
def test_a_forwarded_address_does_not_stand_for_this_machine(
    anybody: APIClient, site: Site, settings: Settings, address: str, forwarded: str
) -> None:
    settings.DEBUG, settings.EMULATOR_BOOTSTRAP_KEY = True, "homepot-dev-emulator-key"

    response = anybody.post(
        URL,
        {"site_id": "berlin-1", "bootstrap_key": "homepot-dev-emulator-key"},
        REMOTE_ADDR=address,
        headers={"X-Forwarded-For": forwarded},
    )

    assert response.status_code == 401


@pytest.mark.django_db(transaction=True)
def test_many_at_once_make_one_device_and_one_good_key(
    site: Site, run_at_once: Callable[[int, Callable[[], Any]], list[Any]]
) -> None:
    responses = run_at_once(6, lambda: ask(APIClient()))

    keys = [response.json()["data"] for response in responses if response.status_code == 200]
    assert {response.status_code for response in responses} == {200}
    assert Device.objects.count() == 1
    assert sorted(use(data) for data in keys) == [200, 401, 401, 401, 401, 401]


def test_too_many_wrong_keys_are_told_to_wait(anybody: APIClient, site: Site) -> None:
    for _ in range(120):
        ask(anybody, bootstrap_key="wrong")

    response = ask(anybody, bootstrap_key="wrong")

    assert response.status_code == 429
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert ask(anybody).status_code == 200
