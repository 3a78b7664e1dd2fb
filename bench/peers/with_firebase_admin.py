"""firebase-admin: `send_each` with as many messages as it takes at once, on its own threads and connections."""

import firebase_admin
from firebase_admin import credentials, messaging

from bench.peers.question import Question

MOST_AT_ONCE = 500


def main() -> None:
    question = Question.read()
    messaging._MessagingService.FCM_URL = f"{question.url}/v1/projects/{{0}}/messages:send"
    firebase_admin.initialize_app(credentials.Certificate(question.credential["service_account_file"]))

    def message(number: int) -> messaging.Message:
        shown = messaging.Notification(title=question.title, body=question.body)
        return messaging.Message(token=question.address(number), notification=shown, data=question.data)

    def send(numbers: range) -> None:
        for first in range(0, len(numbers), MOST_AT_ONCE):
            answer = messaging.send_each([message(number) for number in numbers[first : first + MOST_AT_ONCE]])
            assert answer.failure_count == 0, answer.responses[0].exception

    question.time(send)


if __name__ == "__main__":
    main()
