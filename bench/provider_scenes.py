"""The scenes of `bench.show_providers`: each plays one mistake or mood and says in one line how it ended."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from django.db import connection
from rest_framework.test import APIClient

from delivery import clocks, guard, sending, sweeps
from delivery.models import Alert, ApiKey, Channel, ProviderState, PushNotificationLog
from delivery.models.channel import address_hash
from simulator.services import EmulatedApns, EmulatedFcm, EmulatedWebPush, running
from simulator.services.service import EmulatedService
from tests.delivery import emulated
from tests.delivery.providers.browser import Browser
from tests.delivery.providers.local_servers import Http1Server, Reply, authority
from tests.delivery.rows import a_device

FLEET = 10_000
LARGE = {"title": "Hello", "body": "A new menu", "data": {"menu": "m" * 5_000}}
LONGEST_S = 120.0
HTTPS_PORT = 443
INWARD_NAME = "push.example.com"


def play(name: str, folder: Path) -> bool:
    """On an empty record."""
    with connection.cursor() as cursor:
        tables = ", ".join(
            f'"{each}"' for each in connection.introspection.table_names() if each.startswith("delivery_")
        )
        cursor.execute(f"TRUNCATE {tables}, push_notification_logs, push_delivery_logs CASCADE")
    began = time.monotonic()
    good, line = SCENES[name](folder)
    print(f"{'ok  ' if good else 'BAD '} {name}: {line} ({time.monotonic() - began:.1f} s)", flush=True)
    return good


def large(folder: Path) -> tuple[bool, str]:
    with running(EmulatedFcm(home=folder)) as fcm, senders(fcm):
        fleet = emulated.a_fleet(fcm, FLEET)
        status, why = ordered(LARGE)
        emulated.order(fleet, payload=LARGE)
        sent = send_all("fcm")
        left, alerts = harm()
        good = status == 422 and fcm.requests == 0 and left == FLEET and alerts == 1
        return good, (
            f"{FLEET} FCM devices, 5 KB: the order is answered {status} ({why}); slipped past that check: "
            f"{sent} claimed, {fcm.requests} requests, {FLEET - left} channels disabled, {alerts} alerts"
        )


def refused(folder: Path) -> tuple[bool, str]:
    with running(EmulatedFcm(home=folder)) as fcm, senders(fcm):
        fcm.fails_with(400, "INVALID_ARGUMENT")
        emulated.order(emulated.a_fleet(fcm, FLEET))
        send_all("fcm")
        left, alerts = harm()
        return left == FLEET and alerts == 1 and fcm.answers[400] == FLEET, (
            f"{FLEET} FCM devices and a payload that FCM itself refuses: {fcm.answers[400]} answers INVALID_ARGUMENT, "
            f"{FLEET - left} channels disabled, {alerts} alerts"
        )


def environment(folder: Path) -> tuple[bool, str]:
    with running(EmulatedApns(home=folder)) as apns, senders(apns):
        apns.fails_with(400, "BadDeviceToken")
        emulated.order(emulated.a_fleet(apns, FLEET))
        send_all("apns")
        sends = apns.requests
        waiting = PushNotificationLog.objects.filter(provider="apns", attempt_count=0).count()
        left, alerts = harm()
        return sends <= 50 and left == FLEET and alerts == 1, (
            f"{FLEET} APNs devices, wrong environment: the guard trips after {sends} sends, "
            f"{FLEET - left} channels lost, {alerts} alert; {waiting} messages wait untried"
        )


def gone(folder: Path) -> tuple[bool, str]:
    with running(EmulatedApns(home=folder)) as apns, senders(apns):
        again = emulated.a_fleet(apns, 5)
        dead = emulated.a_fleet(apns, 5, registered_at=clocks.db_now() - timedelta(days=1))
        apns.retire([channel.address for channel in again + dead])
        Channel.objects.filter(pk__in=[channel.pk for channel in again]).update(
            registered_at=clocks.db_now() + timedelta(seconds=1)
        )
        emulated.order(again + dead + emulated.a_fleet(apns, 200))
        send_all("apns")
        kept = Channel.objects.filter(pk__in=[channel.pk for channel in again], state="active").count()
        disabled = Channel.objects.filter(pk__in=[channel.pk for channel in dead], state="disabled").count()
        return (kept, disabled, harm()[0]) == (5, 5, 205), (
            f"{apns.answers[410]} answers 410: of 5 addresses that registered after its timestamp {kept} are kept, "
            f"of 5 that did not {disabled} are disabled, {harm()[0]} of 210 channels stay"
        )


def goaway(folder: Path) -> tuple[bool, str]:
    with running(EmulatedApns(home=folder)) as apns, senders(apns):
        apns.does("goaway", limit=400)
        emulated.order(emulated.a_fleet(apns, 5_000))
        ends_at = time.monotonic() + LONGEST_S
        while PushNotificationLog.objects.filter(status="pending", provider="apns").exists():
            if not sending.send_batch("apns"):
                time.sleep(0.05)
            if time.monotonic() > ends_at:
                break
        counts = apns.deliveries.counts
        states = Counter(PushNotificationLog.objects.values_list("status", flat=True))
        lost, doubled = 5_000 - len(counts), sum(counts.values()) - len(counts)
        summary = apns.summary()
        return lost == 0 and states == {"sent": 5_000}, (
            f"5000 messages, one stream until the first good push, GOAWAY every 400 requests: {lost} lost, "
            f"{doubled} duplicates, {summary['connections_opened']} connections opened, "
            f"{summary['refused_streams']} streams refused, {dict(states)}"
        )


def inward(folder: Path) -> tuple[bool, str]:
    """The listeners stand where the subscriptions point; none may see a connection. The DNS is a stand-in."""
    with (
        patch.object(socket, "getaddrinfo", inward_dns(socket.getaddrinfo)),
        Listener(HTTPS_PORT) as https,
        Listener() as other,
        Http1Server(lambda _: Reply(307, headers={"location": f"https://127.0.0.1:{other.port}/"}), tls=True) as away,
        running(EmulatedWebPush(home=folder)) as web_push,
    ):
        config = emulated.settings_of(web_push) | {
            "allowed_hosts": [INWARD_NAME],
            "allow_origins": [away.url],
            "ca_file": authority().ca_file,
        }
        endpoints = {
            "https://127.0.0.1": "https://127.0.0.1/push",
            "http://": f"http://{INWARD_NAME}:{other.port}/push",
            "IP literal": "https://10.0.0.8/push",
            "odd port": f"https://{INWARD_NAME}:{other.port}/push",
            "private by DNS": f"https://{INWARD_NAME}/push",
        }
        with emulated.configured({"web_push": {"default": config}}):
            refused_there = [name for name, endpoint in endpoints.items() if registered(endpoint) == 422]
            known = registered(f"{away.url}/push")
            said = [sent_to(endpoint) for endpoint in [*endpoints.values(), f"{away.url}/push"]]
        good = len(refused_there) == len(endpoints) and set(said[:-1]) == {"refused_url"}
        good = good and (https.connections, other.connections, away.connections) == (0, 0, 1)
        watched = "" if https.open else " (port 443 could not be watched)"
        return good, (
            f"refused at registration: {', '.join(refused_there)}; at send: {', '.join(said[:-1])}; connections made: "
            f"{https.connections + other.connections}{watched}; a redirect ({known} at registration, its target is not "
            f"known there): {said[-1]}, not followed"
        )


def inward_dns(real: Callable[..., Any]) -> Callable[..., Any]:
    """Knows one name more than the machine's: an allowed push service whose owner lets it point inward."""

    def getaddrinfo(host: str, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == INWARD_NAME else host, *rest, **more)

    return getaddrinfo


class Listener:
    """Counts the connections that come in on a port of 127.0.0.1; not `open` where this user may not listen there."""

    def __init__(self, port: int = 0) -> None:
        self.connections = 0
        try:
            self._socket: socket.socket | None = socket.create_server(("127.0.0.1", port))
        except PermissionError:
            self._socket = None
        self.open = self._socket is not None
        self.port = self._socket.getsockname()[1] if self._socket else port

    def __enter__(self) -> Self:
        threading.Thread(target=self._count, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket:
            self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()

    def _count(self) -> None:
        while self._socket:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            accepted.close()


@contextmanager
def senders(*chosen: EmulatedService) -> Iterator[None]:
    with emulated.configured({each.name: {"default": emulated.settings_of(each)} for each in chosen}):
        yield


def send_all(provider: str) -> int:
    claimed = 0
    while batch := sending.send_batch(provider):
        claimed += batch
    return claimed


def harm() -> tuple[int, int]:
    """How many channels are active after the guard's last verdict, and how many alerts are open."""
    ProviderState.objects.exclude(window_from=None).update(window_from=clocks.db_now() - guard.LONGEST)
    sweeps.judge_overdue()
    return Channel.objects.usable().count(), Alert.objects.filter(closed_at=None).count()


def ordered(payload: dict[str, Any]) -> tuple[int, str]:
    body = {"name": "Menu", "target": {"all": True}, "push_notification": payload}
    answer = backend("jobs:write").post("/api/v1/jobs", body, format="json")
    return answer.status_code, answer.json()["detail"]["push_notification"][0].partition(" Shorten")[0]


def registered(endpoint: str) -> int:
    device = a_device(f"browser-{time.monotonic_ns()}")
    answer = backend("devices:write").put(
        f"/api/v1/devices/{device.device_id}/channels/web_push", {"address": Browser().address(endpoint)}, format="json"
    )
    return int(answer.status_code)


def sent_to(endpoint: str) -> str:
    """The code of a send to a subscription that is in the record, whatever the registration says today."""
    address = Browser().address(endpoint)
    channel = Channel.objects.create(
        device=a_device(f"browser-{time.monotonic_ns()}"),
        provider="web_push",
        address=address,
        address_hash=address_hash(address),
        registered_at=clocks.db_now(),
    )
    job = emulated.order([channel])
    sending.send_batch("web_push")
    return PushNotificationLog.objects.get(job=job).error_code


def backend(scope: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {ApiKey.objects.issue(f'bench-{time.monotonic_ns()}', [scope])}")
    return client


SCENES: dict[str, Callable[[Path], tuple[bool, str]]] = {
    scene.__name__: scene for scene in (large, refused, environment, gone, goaway, inward)
}
