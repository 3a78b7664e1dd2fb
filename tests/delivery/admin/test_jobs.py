import re

from django.contrib.auth.models import Permission, User
from django.test import Client

from delivery import jobs
from delivery.admin.jobs import parts
from delivery.models import AuditLog, Job, PushNotificationLog
from tests.delivery.admin.conftest import BACKEND


def test_the_pieces_of_the_bar_sum_to_the_whole() -> None:
    counts = {"targeted": 7, **dict.fromkeys(jobs.PARTS, 0), "delivered": 3, "late": 1, "failed": 3}

    drawn = parts(counts)

    assert sum(part["count"] for part in drawn) == 7
    assert abs(sum(float(part["width"].rstrip("%")) for part in drawn) - 100) < 0.01
    assert {part["word"] for part in drawn} == set(jobs.PARTS)


def test_a_job_without_rows_has_an_empty_bar() -> None:
    assert {part["width"] for part in parts({"targeted": 0, **dict.fromkeys(jobs.PARTS, 0)})} == {"0.000%"}


def test_the_panel_goes_on_while_counts_may_change(admin: Client, push: PushNotificationLog, job: Job) -> None:
    panel = admin.get(f"/admin/delivery/job/{job.pk}/progress/").content.decode()

    assert "0 of 1 arrived" in panel
    assert "data-more" in panel


def test_the_panel_stops_once_the_counts_are_final(admin: Client, job: Job) -> None:
    Job.objects.update(frozen_progress={"targeted": 1, **dict.fromkeys(jobs.PARTS, 0), "delivered": 1})

    panel = admin.get(f"/admin/delivery/job/{job.pk}/progress/").content.decode()

    assert "1 of 1 arrived" in panel
    assert "data-more" not in panel


def test_the_panel_of_no_job_is_not_there(admin: Client) -> None:
    assert admin.get("/admin/delivery/job/12345/progress/").status_code == 404


def click(client: Client, job: Job, act: str) -> int:
    return int(client.post(f"/admin/delivery/job/{job.pk}/control/{act}/").status_code)


def buttons_of(client: Client, job: Job) -> set[str]:
    page = client.get(f"/admin/delivery/job/{job.pk}/change/").content.decode()
    return set(re.findall(rf"/admin/delivery/job/{job.pk}/control/(\w+)/", page))


def test_a_job_offers_what_its_state_allows(admin: Client, push: PushNotificationLog, job: Job) -> None:
    offered = [buttons_of(admin, job)]
    for act in ("pause", "resume", "cancel"):
        click(admin, job, act)
        offered.append(buttons_of(admin, job))

    assert offered == [{"pause", "cancel"}, {"resume", "cancel"}, {"pause", "cancel"}, set()]
    assert list(AuditLog.objects.order_by("id").values_list("actor", "action")) == [
        ("person:ada", "paused"),
        ("person:ada", "resumed"),
        ("person:ada", "cancelled"),
    ]


def test_a_completed_job_is_tried_again_on_the_devices_that_it_missed(
    admin: Client, push: PushNotificationLog, job: Job
) -> None:
    PushNotificationLog.objects.update(status="expired")
    Job.objects.update(status="completed")

    offered = buttons_of(admin, job)
    answer = admin.post(f"/admin/delivery/job/{job.pk}/control/retry/")

    again = Job.objects.get(retry_of=job)
    assert offered == {"retry"}
    assert answer["Location"] == f"/admin/delivery/job/{again.pk}/change/"


def test_a_click_that_came_too_late_changes_nothing(admin: Client, job: Job) -> None:
    Job.objects.update(status="cancelled")

    code = click(admin, job, "pause")

    job.refresh_from_db()
    assert (code, job.status) == (302, "cancelled")
    assert not AuditLog.objects.exists()


def test_nobody_moves_a_job_by_a_link_or_without_the_right_to(admin: Client, technician: User, job: Job) -> None:
    Job.objects.update(ordered_by="person:tom")
    technician.user_permissions.remove(Permission.objects.get(codename="change_job"))
    client = Client()
    client.force_login(technician, backend=BACKEND)

    by_link = admin.get(f"/admin/delivery/job/{job.pk}/control/cancel/").status_code
    unknown = click(admin, job, "delete")

    assert (by_link, unknown, click(client, job, "cancel"), buttons_of(client, job)) == (404, 404, 403, set())
