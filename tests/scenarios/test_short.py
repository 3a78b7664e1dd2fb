"""Known causes in short: real fan-out, sends to an emulated FCM, acks, sweep and verdicts, inside this process.

`make scenarios` plays all of them at full size on the running product.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import transaction

from analytics import judging
from delivery import acks, clocks, fanout, heartbeats, sending, sweeps
from delivery.models import Device, PushNotificationLog, Site, Verdict
from simulator.services import EmulatedFcm, running
from simulator.services.faults import Do, Fault
from tests.delivery import emulated
from tests.delivery.conftest import broker
from tests.delivery.rows import a_job
from tests.scenarios import confusion
from tests.scenarios.confusion import NONE, Judged, Result
from tests.scenarios.scenes import SCENES

__all__ = ["broker"]
pytestmark = pytest.mark.django_db(transaction=True)

SITES, TILLS = 4, 10
LATER = timedelta(hours=2)
Quiet = Collection[str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("push-services")


@pytest.fixture
def fcm(home: Path, broker: object) -> Iterator[EmulatedFcm]:
    """With forty tills at four sites, all of which were heard just now."""
    with (
        running(EmulatedFcm(home=home)) as service,
        emulated.configured({"fcm": {"default": emulated.settings_of(service)}}),
    ):
        channels = emulated.a_fleet(service, SITES * TILLS)
        for number in range(SITES):
            site = Site.objects.create(site_id=f"site-{number}", name=f"Site {number}")
            for channel in channels[number * TILLS : (number + 1) * TILLS]:
                Device.objects.filter(pk=channel.device.pk).update(site=site)
                heartbeats.record(channel.device, device_time=None, now=clocks.db_now() - timedelta(minutes=5))
        yield service


def tills(*sites: int) -> set[str]:
    """All, or those of some sites."""
    found = Device.objects.filter(site_id__in=[f"site-{site}" for site in sites or range(SITES)])
    return set(found.values_list("device_id", flat=True))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    def play(cause: str, *, hurt: Quiet, silent: Quiet = (), unheard: Quiet = (), workers: bool = True) -> Result:
        """A message for each till, and what it is called in the end. Who is `unheard` sends no heartbeats any more."""
        job = a_job(status="running", ttl_s=3_600)
        with transaction.atomic():
            fanout.write_rows(job, list(Device.objects.order_by("pk")))
        while workers and sending.send_batch("fcm"):
            pass
        taken = PushNotificationLog.objects.filter(status="sent").exclude(device_id__in=[*silent, *unheard])
        acks.record([acks.ProvenAck(acks.Ack(message_id=str(row.message_id)), row.device_id) for row in taken])
        for device in Device.objects.exclude(device_id__in=unheard):
            heartbeats.record(device, device_time=None, now=clocks.db_now() + timedelta(minutes=1))
        later = clocks.db_now() + LATER
        monkeypatch.setattr("delivery.clocks.db_now", lambda: later)
        sweeps.expire()
        judging.judge_ripe()
        return confusion.compare(cause, cause, [_judged(row, hurt) for row in PushNotificationLog.objects.all()])

    return play


def _judged(row: PushNotificationLog, hurt: Quiet) -> Judged:
    in_time = row.status == "delivered" and row.expired_at is None
    return Judged(row.device_id in hurt, row.late, in_time, row.verdict or NONE)


def test_the_line_of_a_site_is_cut(fcm: EmulatedFcm, played: Callable[..., Result]) -> None:
    cut = tills(0)

    result = played(Verdict.UPLINK_DOWN.value, hurt=cut, unheard=cut)

    assert result.verdicts == {"uplink_down": TILLS}


def test_a_firewall_blocks_fcm_at_one_site(fcm: EmulatedFcm, played: Callable[..., Result]) -> None:
    behind = tills(1)

    result = played(Verdict.BLOCKED_AT_SITE.value, hurt=behind, silent=behind)

    assert result.verdicts == {"blocked_at_site": TILLS}


def test_some_tills_have_notifications_off(fcm: EmulatedFcm, played: Callable[..., Result]) -> None:
    denied = set(sorted(tills())[::5])

    result = played(Verdict.DENIED_ON_DEVICE.value, hurt=denied, silent=denied)

    assert result.verdicts == {"denied_on_device": len(denied)}


def test_fcm_is_down(fcm: EmulatedFcm, played: Callable[..., Result]) -> None:
    fcm.misbehaves(Fault(do=Do.ANSWER, status=503, reason="UNAVAILABLE"))

    result = played(Verdict.PROVIDER_DOWN.value, hurt=tills())

    assert result.verdicts == {"provider_down": SITES * TILLS}


def test_our_key_is_wrong(fcm: EmulatedFcm, played: Callable[..., Result]) -> None:
    fcm.misbehaves(Fault(do=Do.ANSWER, status=400, reason="invalid_grant", at="token"))

    result = played(Verdict.OUR_CREDENTIAL.value, hurt=tills())

    assert result.verdicts == {"our_credential": SITES * TILLS}


def test_no_worker_runs(fcm: EmulatedFcm, played: Callable[..., Result]) -> None:
    result = played(Verdict.NEVER_HANDED_OVER.value, hurt=tills(), workers=False)

    assert result.verdicts == {"never_handed_over": SITES * TILLS}


def test_every_scene_expects_a_verdict_that_there_is() -> None:
    assert {scene.cause for scene in SCENES} <= set(Verdict.values)
