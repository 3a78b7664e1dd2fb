"""The rungs of a zombie's healing, with a real (emulated) FCM behind the first."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from analytics import healing, zombies
from analytics.models import Closed, Rung, Zombie
from delivery import acks, clocks, credentials, fanout
from delivery.models import AuditLog, Channel, Device, PushNotificationLog
from simulator.services import EmulatedFcm, running
from simulator.services.faults import Do, Fault
from tests.delivery.emulated import configured, settings_of
from tests.delivery.rows import a_channel, a_device, a_job, a_site

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fcm")


@pytest.fixture
def fcm(home: Path) -> Iterator[EmulatedFcm]:
    with running(EmulatedFcm(home=home)) as service:
        others = {name: named for name, named in credentials.configured().items() if name == "simulation"}
        with configured({"fcm": {"default": settings_of(service)}, **others}):
            yield service


@pytest.fixture
def till(db: None) -> Device:
    """Heard this moment."""
    return a_device(site=a_site(), last_heartbeat_at=clocks.db_now())


def zombie_on(channel: Channel, rung: Rung = Rung.FOUND, *, found_ago: timedelta = timedelta(0)) -> Zombie:
    now = clocks.db_now()
    return Zombie.objects.create(
        device=channel.device, channel=channel, site=channel.device.site, provider=channel.provider,
        found_at=now - found_ago, last_seen=now, pushes=3, first_push_at=now, rung=rung, rung_at=now, next_at=now,
    )  # fmt: skip


@pytest.fixture
def zombie(fcm: EmulatedFcm, till: Device) -> Zombie:
    """On FCM, with a simulated channel behind it."""
    found = zombie_on(a_channel(till, "fcm", rank=0, address=fcm.new_address()))
    a_channel(till, "simulation", rank=1)
    return found


def waits_s(zombie: Zombie) -> int | None:
    zombie.refresh_from_db()
    return None if zombie.next_at is None else round((zombie.next_at - clocks.db_now()).total_seconds())


def make_due() -> None:
    Zombie.objects.exclude(next_at=None).update(next_at=clocks.db_now())


def said() -> list[str]:
    return list(AuditLog.objects.order_by("id").values_list("action", flat=True))


# --- Ask the provider
def test_the_provider_is_asked_and_nothing_is_sent(fcm: EmulatedFcm, zombie: Zombie, settings: Settings) -> None:
    assert healing.heal() == 1

    assert waits_s(zombie) == pytest.approx(settings.ZOMBIE_ASK_AFTER_S, abs=60)
    assert (zombie.rung, zombie.probe_code) == (Rung.PROBED, "valid")
    assert (fcm.answers[200], fcm.deliveries.total) == (2, 0), "a token, and the answer to the question"
    assert AuditLog.objects.get().details == {"provider": "fcm", "channel": zombie.channel_id, "answer": "valid"}


def test_an_address_that_is_gone_is_noted_and_left_to_the_next_send(fcm: EmulatedFcm, zombie: Zombie) -> None:
    fcm.faults.add(Fault(do=Do.DEAD, share=1.0))

    healing.heal()

    zombie.refresh_from_db()
    assert (zombie.rung, zombie.probe_code, zombie.channel.state) == (Rung.PROBED, "UNREGISTERED", "active")


def test_a_provider_that_does_not_answer_is_asked_again_for_an_hour(fcm: EmulatedFcm, zombie: Zombie) -> None:
    fcm.faults.add(Fault(do=Do.ANSWER, status=503))

    assert healing.heal() == 0
    assert waits_s(zombie) == pytest.approx(300, abs=60)
    assert zombie.rung == Rung.FOUND

    Zombie.objects.update(found_at=clocks.db_now() - timedelta(hours=1))
    make_due()
    assert healing.heal() == 1

    zombie.refresh_from_db()
    assert (zombie.rung, zombie.probe_code) == (Rung.PROBED, "not_asked")


def test_a_provider_that_cannot_be_asked_is_passed_over(till: Device) -> None:
    zombie = zombie_on(a_channel(till, "simulation"))

    healing.heal()

    zombie.refresh_from_db()
    assert (zombie.rung, zombie.probe_code) == (Rung.PROBED, "not_asked")


# --- Ask the device
def test_the_device_is_asked_by_its_next_channel_and_its_inbox(zombie: Zombie, settings: Settings) -> None:
    Zombie.objects.update(rung=Rung.PROBED)

    assert healing.heal() == 1

    assert waits_s(zombie) == pytest.approx(settings.ZOMBIE_MOVE_AFTER_S, abs=60)
    message = PushNotificationLog.objects.get()
    assert (message.provider, message.message_id) == ("simulation", zombie.asked_by)
    assert message.job is not None
    assert message.job.payload["data"] == {"type": "register_again", "provider": "fcm"}
    assert (message.job.payload["data_only"], message.job.payload["title"]) == (True, "")
    assert (zombie.rung, zombie.asked_at is not None, said()) == (
        Rung.ASKED, True, ["asked a zombie to register again"]
    )  # fmt: skip


def test_a_device_without_another_channel_finds_the_request_in_its_inbox(fcm: EmulatedFcm, till: Device) -> None:
    zombie_on(a_channel(till, "fcm", address=fcm.new_address()), Rung.PROBED)

    healing.heal()

    assert PushNotificationLog.objects.get().device == till


def test_who_can_be_reached_by_nothing_else_is_not_asked(fcm: EmulatedFcm) -> None:
    phone = a_device("phone", key="", last_heartbeat_at=clocks.db_now())
    zombie = zombie_on(a_channel(phone, "fcm", address=fcm.new_address()), Rung.PROBED)

    healing.heal()

    zombie.refresh_from_db()
    assert (zombie.rung, zombie.asked_at, PushNotificationLog.objects.count()) == (Rung.ASKED, None, 0)


# --- Move
def test_its_messages_take_another_channel_first(zombie: Zombie, settings: Settings) -> None:
    Zombie.objects.update(rung=Rung.ASKED)

    assert healing.heal() == 1

    assert waits_s(zombie) == pytest.approx(settings.ZOMBIE_TICKET_AFTER_S, abs=60)
    assert zombie.rung == Rung.MOVED
    assert list(Channel.objects.order_by("rank").values_list("provider", flat=True)) == ["simulation", "fcm"]


def test_where_there_is_nothing_to_move_to_a_person_hears_of_it_at_once(zombie: Zombie) -> None:
    Channel.objects.filter(provider="simulation").update(state="disabled")
    Zombie.objects.update(rung=Rung.ASKED)

    assert healing.heal() == 1
    assert not Channel.objects.filter(demoted=True).exists()
    assert healing.heal() == 1

    assert (waits_s(zombie), zombie.rung) == (None, Rung.TICKET)
    assert said() == ["could not move a zombie's channel", "gave a zombie to a person"]


# --- All of it
def ordered(device: Device) -> str:
    """By which provider the device's next message goes."""
    [row] = fanout.write_rows(a_job(), [device])
    return row.provider


def test_messages_go_by_the_other_channel_until_one_is_confirmed_on_this(zombie: Zombie) -> None:
    Zombie.objects.update(rung=Rung.ASKED)
    before = ordered(zombie.device)
    healing.heal()
    meanwhile = ordered(zombie.device)

    push = PushNotificationLog.objects.get(provider="fcm")
    PushNotificationLog.objects.filter(pk=push.pk).update(status="sent", sent_at=clocks.db_now())
    acks.record([acks.ProvenAck(acks.parse({"message_id": str(push.message_id)}), zombie.device.device_id)])
    zombies.look()

    zombie.refresh_from_db()
    assert (before, meanwhile, ordered(zombie.device)) == ("fcm", "simulation", "fcm")
    assert zombie.closed_why == Closed.ACKED


def test_each_rung_is_taken_once_whatever_happens(zombie: Zombie) -> None:
    for _ in range(8):
        healing.heal()
        healing.heal()
        make_due()

    assert said() == [
        "asked a provider about a zombie", "asked a zombie to register again",
        "moved a zombie's channel behind the others", "gave a zombie to a person",
    ]  # fmt: skip
    assert PushNotificationLog.objects.count() == 1


def test_nothing_is_done_to_a_device_that_is_away(zombie: Zombie) -> None:
    Device.objects.update(last_heartbeat_at=clocks.db_now() - timedelta(seconds=121))

    assert healing.heal() == 0

    assert waits_s(zombie) == pytest.approx(300, abs=60)
    assert zombie.rung == Rung.FOUND


def test_one_that_was_healed_meanwhile_is_left_alone(zombie: Zombie) -> None:
    Zombie.objects.update(closed_at=clocks.db_now(), next_at=None)

    assert (healing.heal(), said()) == (0, [])


def test_a_whole_fleet_is_not_turned_over_at_once(till: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "AT_ONCE", 2)
    for number in range(3):
        zombie_on(a_channel(a_device(f"kiosk-{number}", last_heartbeat_at=clocks.db_now())), Rung.ASKED)

    assert [healing.heal(), Zombie.objects.filter(rung=Rung.MOVED).count()] == [2, 2]
