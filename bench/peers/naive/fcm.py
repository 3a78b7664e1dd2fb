"""FCM with `requests`, one post per push; the access token is kept while it lasts."""

import requests
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials

from bench.peers.naive import settings
from bench.peers.naive.models import Push

SCOPES = ["https://www.googleapis.com/auth/firebase.messaging"]
TIMEOUT_S = 10

credentials = Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
    settings.FCM_SERVICE_ACCOUNT_FILE, scopes=SCOPES
)


def post(push: Push) -> str:
    """The provider's id of the message; `OSError` where it was not taken."""
    if not credentials.valid:
        credentials.refresh(Request())
    message = {
        "token": push.device.token,
        "notification": {"title": push.title, "body": push.body},
        "data": {**push.data, "message_id": str(push.message_id)},
    }
    answer = requests.post(
        f"{settings.PUSH_URL}/v1/projects/{credentials.project_id}/messages:send",
        json={"message": message},
        headers={"Authorization": f"Bearer {credentials.token}"},
        timeout=TIMEOUT_S,
    )
    answer.raise_for_status()
    return str(answer.json()["name"])
