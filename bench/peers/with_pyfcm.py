"""pyfcm: one `notify` after another on one kept connection, as its README shows."""

from pyfcm import FCMNotification

from bench.peers.question import Question


def main() -> None:
    question = Question.read()
    FCMNotification.FCM_END_POINT_BASE = f"{question.url}/v1/projects"
    fcm = FCMNotification(service_account_file=question.credential["service_account_file"], project_id="bench")

    def send(numbers: range) -> None:
        for number in numbers:
            fcm.notify(
                fcm_token=question.address(number),
                notification_title=question.title,
                notification_body=question.body,
                data_payload=question.data,
            )

    question.time(send)


if __name__ == "__main__":
    main()
