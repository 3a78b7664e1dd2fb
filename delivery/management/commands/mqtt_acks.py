import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from delivery import acks
from delivery.mqtt_acks import AckConsumer
from delivery.providers.base import ConfigError
from delivery.providers.mqtt_link import Broker


class Command(BaseCommand):
    help = "Take acks from the MQTT broker (MQTT_URL) until SIGTERM. Run exactly one: it has a fixed client id."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.MQTT_URL:
            raise CommandError("MQTT_URL is not set: give it the broker, like mqtt://user:password@host:1883")
        try:
            broker = Broker.from_url(settings.MQTT_URL, settings.MQTT_CA_FILE)
        except ConfigError as error:
            raise CommandError(str(error)) from None
        consumer = AckConsumer(broker, record)

        def stop(_number: int, _frame: FrameType | None) -> None:
            consumer.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        consumer.run()


def record(proven: Sequence[acks.ProvenAck]) -> None:
    """`acks.record` in a process without requests: a connection that broke is replaced before the next batch."""
    close_old_connections()
    try:
        acks.record(proven)
    except (DatabaseError, InterfaceError):
        connections.close_all()
        raise
