"""aioapns: one client, with as many notifications on their way as the product's window."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol

from bench.peers.question import Question


def pointed_at(url: str) -> type[APNsProductionClientProtocol]:
    """Its own protocol with another address: it has no setting for that."""
    parts = urlsplit(url)
    return type("Stub", (APNsProductionClientProtocol,), {"APNS_SERVER": parts.hostname, "APNS_PORT": parts.port})


async def send(question: Question, key: str) -> None:
    credential = question.credential
    context = ssl.create_default_context(cafile=credential["ca_file"])
    context.set_alpn_protocols(["h2"])
    client = APNs(
        key=key,
        key_id=credential["key_id"],
        team_id=credential["team_id"],
        topic=credential["topic"],
        ssl_context=context,
    )
    client.pool.protocol_class = pointed_at(question.url)
    payload = {"aps": {"alert": {"title": question.title, "body": question.body}}, **question.data}

    async def sender(left: Iterator[int]) -> None:
        for number in left:
            request = NotificationRequest(
                device_token=question.address(number),
                message=payload,
                notification_id=str(uuid4()),
                time_to_live=86_400,
                priority=5,
                push_type=PushType.ALERT,
            )
            answer = await client.send_notification(request)
            assert answer.is_successful, answer.description

    async def send_all(numbers: range) -> None:
        left = iter(numbers)
        await asyncio.gather(*(sender(left) for _ in range(question.window)))

    await question.time_async(send_all)
    client.pool.close()


def main() -> None:
    question = Question.read()
    key = Path(question.credential["key_file"]).read_text(encoding="ascii")
    asyncio.run(send(question, key))


if __name__ == "__main__":
    main()
