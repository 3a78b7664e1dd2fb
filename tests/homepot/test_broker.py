"""A worker and the broker that is taken from it."""

import logging
from contextlib import suppress
from queue import Empty

from kombu import Connection
from kombu.common import ignore_errors
from kombu.simple import SimpleQueue
from redis import Redis

from celery_app import app
from tests import servers


def test_a_worker_survives_the_loss_of_its_broker_and_the_end_of_the_task_that_it_was_at() -> None:
    with servers.Redis() as broker:
        worker = Connection(broker.url, transport_options=app.conf.broker_transport_options)
        hints, control = worker.SimpleQueue("push.mqtt"), SimpleQueue(worker.channel(), "control")
        hints.put({})
        held = hints.get(timeout=5)
        with suppress(Empty):
            control.get(timeout=0.2)  # both channels wait for more, as in a worker
        broker.kill()

        lose(worker)
        held.ack_log_error(logging.getLogger(), worker.connection_errors)

        assert not worker.connected


def test_a_worker_goes_on_at_a_broker_that_is_out_of_memory() -> None:
    with servers.Redis() as broker, Connection(broker.url) as worker, Redis(port=broker.port) as operator:
        hints = worker.SimpleQueue("push.mqtt")
        hints.consumer.qos(prefetch_count=1)
        hints.put(1)
        hints.put(2)
        operator.config_set("maxmemory", 1)

        taken = []
        for _ in range(2):
            held = hints.get(timeout=5)
            taken.append(held.payload)
            held.ack()

        assert taken == [1, 2]


def lose(connection: Connection) -> None:
    """What Celery's consumer does with a connection that broke."""
    with suppress(Exception):
        connection.collect(socket_timeout=1)
    ignore_errors(connection, connection.close)
