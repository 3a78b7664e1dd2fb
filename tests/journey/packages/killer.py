"""Providers as a package would bring them: their sends go well, but one payload kills the process that renders it."""

import os
import signal
from typing import ClassVar

from delivery.outcomes import Outcome
from delivery.providers.base import Message
from delivery.providers.fcm import Fcm
from delivery.providers.simulation import Simulation

POISON = "Poison"


class Killer(Simulation):
    """As native code does that a payload brings to its knees: no exception, no last word."""

    name: ClassVar[str] = "killer"

    async def send_one(self, message: Message) -> Outcome:
        die_of(message)
        return await super().send_one(message)


class KillerFcm(Fcm):
    """The same for devices that a push service reaches."""

    name: ClassVar[str] = "killer_fcm"

    async def send_one(self, message: Message) -> Outcome:
        die_of(message)
        return await super().send_one(message)


def die_of(message: Message) -> None:
    if message.content.get("title") == POISON:
        os.kill(os.getpid(), signal.SIGKILL)
