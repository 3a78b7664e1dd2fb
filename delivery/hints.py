"""Wake a worker. A hint carries no state and may be lost, doubled or late: the rows say what is due."""

import logging
from typing import Any

from amqp.exceptions import ChannelError as NoQueue
from celery import current_app
from django.conf import settings
from django.db import transaction
from prometheus_client import Counter

from delivery import crash_points
from delivery.quiet import Quiet

log = logging.getLogger(__name__)

LOST = Counter("homepot_hints_lost", "Hints that the broker did not take; a sweep repeats them", ["task"])
QUIET_S = 3.0
"""How long nothing is published after the broker refused, so that a request never waits for it twice."""

_quiet = Quiet(QUIET_S)


def wake_sender(provider: str, batches: int = 1) -> None:
    """Once the present transaction is committed: this many workers of the provider look for due rows."""
    for _ in range(batches):
        _on_commit("delivery.send", f"push.{provider}", provider)


def wake_sender_alone(provider: str) -> None:
    """One worker of the provider takes one row whose last holder died."""
    _on_commit("delivery.send_alone", f"push.{provider}", provider)


def wake_challenger(provider: str) -> None:
    """One worker of the provider pushes the challenges that are due."""
    _on_commit("delivery.push_challenges", f"push.{provider}", provider)


def wake_fanout() -> None:
    _on_commit("delivery.fan_out", "fanout")


def wake(queue: str) -> None:
    """One worker of this queue looks for what is due."""
    if queue == "fanout":
        wake_fanout()
    else:
        wake_sender(queue.removeprefix("push."))


def waiting(queue: str) -> int | None:
    """How many hints wait in a queue (Redis has none that is empty); None where the broker does not say."""
    try:
        with current_app.connection_for_read(connect_timeout=1.0) as connection:
            channel: Any = connection.default_channel
            return int(channel.queue_declare(queue, passive=True).message_count)
    except NoQueue as error:
        return 0 if str(error.reply_code) == "404" else None
    except Exception:  # noqa: BLE001  (each transport has errors of its own; all mean the same here)
        return None


def _on_commit(task: str, queue: str, *args: str) -> None:
    transaction.on_commit(lambda: _publish(task, queue, args))


def _publish(task: str, queue: str, args: tuple[str, ...]) -> None:
    crash_points.passing("before_hint")
    if not _quiet.may_ask():
        LOST.labels(task).inc()
        return
    try:
        current_app.send_task(task, args=args, queue=queue, retry=False, ignore_result=True)
    except Exception as error:  # noqa: BLE001  (a hint may be lost; what it was about is in the database)
        _quiet.failed()
        LOST.labels(task).inc()
        log.warning("hint lost", extra={"task": task, "why": type(error).__name__})
    else:
        _quiet.worked()


def batches_for(due: int) -> int:
    """How many batches it takes to send that many rows."""
    return -(-due // int(settings.SEND_BATCH))
