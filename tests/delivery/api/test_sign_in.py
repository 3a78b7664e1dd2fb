import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from tests.delivery.api.conftest import PASSWORD

URL = "/api/v1/auth/token"


def test_gives_a_token_for_name_and_password(anybody: APIClient, technician: User) -> None:
    response = anybody.post(URL, {"name": "tina", "password": PASSWORD})

    assert response.status_code == 200
    assert response.json().keys() == {"token", "name"}


@pytest.mark.parametrize("name", ["tina", "nobody"])
def test_a_wrong_name_and_a_wrong_password_answer_alike(anybody: APIClient, technician: User, name: str) -> None:
    response = anybody.post(URL, {"name": name, "password": "wrong"})

    assert response.status_code == 401
    assert response.json() == {"detail": "Wrong name or password", "status_code": 401}


def test_locks_a_name_after_ten_wrong_passwords(anybody: APIClient, technician: User) -> None:
    for _ in range(10):
        anybody.post(URL, {"name": "tina", "password": "wrong"})

    response = anybody.post(URL, {"name": "tina", "password": PASSWORD})

    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) == 900
    assert response.json()["status_code"] == 429
