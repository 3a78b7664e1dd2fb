"""pywebpush: `webpush()` for one message after another; with `--session` all on one kept connection."""

import json
import sys

import requests
from pywebpush import webpush

from bench.peers.question import Question


def main() -> None:
    question = Question.read()
    session = requests.Session() if "--session" in sys.argv else None
    text = question.payload()

    def send(numbers: range) -> None:
        for number in numbers:
            webpush(
                json.loads(question.address(number)),
                text,
                vapid_private_key=question.credential["private_key"],
                vapid_claims={"sub": question.credential["subject"]},
                ttl=86_400,
                requests_session=session,
            )

    question.time(send)


if __name__ == "__main__":
    main()
