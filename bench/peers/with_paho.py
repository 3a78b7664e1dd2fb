"""paho alone: its own thread, QoS 1, and as many messages without PUBACK as the product's window."""

from threading import Semaphore
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bench.peers.question import Question


def main() -> None:
    question = Question.read()
    broker = urlsplit(question.url)
    client = Client(CallbackAPIVersion.VERSION2, "paho-alone", protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set(unquote(broker.username or ""), unquote(broker.password or ""))
    client.max_inflight_messages_set(question.window)
    client.max_queued_messages_set(0)
    free = Semaphore(question.window)
    client.on_publish = lambda *_: free.release()
    client.connect(broker.hostname or "", broker.port or 1883)
    client.loop_start()
    payload = question.payload()

    def send(numbers: range) -> None:
        for number in numbers:
            free.acquire()
            client.publish(f"devices/{question.address(number)}/notifications", payload, qos=1)
        for _ in range(question.window):
            free.acquire()
        free.release(question.window)

    question.time(send)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
