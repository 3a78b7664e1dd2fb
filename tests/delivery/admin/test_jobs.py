from django.test import Client

from delivery import jobs
from delivery.admin.jobs import parts
from delivery.models import Job, PushNotificationLog


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
