import re
import time

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from homepot import brokers
from tests.chaos.case import Case
from tests.chaos.rig import say
from tests.chaos.run import Run

ACKS = "homepot-acks"
"""The consumer's id at the broker: fixed, so that acks wait there for it."""
TAKEOVERS = 5
EVERY_S = 2.0
STAYS_S = 0.5
WINDOW = 100
"""Messages that a sender has at the broker without their PUBACK: they are published again."""
CONNECTED = re.compile(r"New client connected from \S+ as (homepot-[0-9a-f]{12}) ")
SENDERS_S = 30.0


def inject(run: Run) -> None:
    run.rig.mqtt.settings = {"connection_messages": "true"}
    run.rig.mqtt.restart()  # from now on it writes down who connects
    run.order(run.messages // 2)
    run.wait_until(lambda: bool(senders(run)), "sender at the broker", SENDERS_S)
    taken, acks_before = 0, consumers(run)
    for number in range(TAKEOVERS):
        next_at = time.monotonic() + EVERY_S
        run.order(run.messages // (2 * TAKEOVERS) if number < TAKEOVERS - 1 else None)
        for client_id in senders(run):
            take_over(run, client_id, MQTTProtocolVersion.MQTTv5)
            run.may_repeat(WINDOW)
            taken += 1
        take_over(run, ACKS, MQTTProtocolVersion.MQTTv311, clean_session=number % 2 == 0)
        time.sleep(max(0.0, next_at - time.monotonic()))
    run.wait_until(lambda: consumers(run) > acks_before, "return of the consumer of acks", SENDERS_S)
    lost = run.rig.process("mqtt").output().count("the MQTT broker closed the connection")
    say(f"{taken} sessions of senders were taken over, {lost} noticed; {TAKEOVERS} of the consumer of acks")
    if not lost:
        run.problem("no sender noticed that its session was taken over")


def senders(run: Run) -> set[str]:
    assert run.rig.mqtt.process is not None
    return set(CONNECTED.findall(run.rig.mqtt.process.output()))


def consumers(run: Run) -> int:
    """How often the consumer of acks was connected."""
    return run.rig.process("mqtt_acks").output().count("taking acks")


def take_over(run: Run, client_id: str, protocol: MQTTProtocolVersion, clean_session: bool | None = None) -> None:
    """Somebody else connects with this id, stays a while, and leaves; what it is given meanwhile it takes."""
    client = Client(CallbackAPIVersion.VERSION2, client_id, clean_session=clean_session, protocol=protocol)
    client.username_pw_set(brokers.MQTT_USER, run.rig.mqtt.password)
    client.connect("127.0.0.1", run.rig.mqtt.port)
    leaves_at = time.monotonic() + STAYS_S
    while time.monotonic() < leaves_at:
        client.loop(0.1)
    client.disconnect()


CASE = Case(
    name="mqtt-takeover",
    sentence="Somebody else connects with the client ids of our senders and of the consumer of acks.",
    inject=inject,
)
