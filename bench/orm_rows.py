"""How one would write a job's rows with the ORM: `python -m bench.orm_rows COUNT` prints the seconds that it took."""

import sys
import time
from datetime import timedelta

import django
from django.db import transaction

PAGE = 1_000


def main(count: int) -> float:
    from delivery.models import Device, Job, PushNotificationLog  # noqa: PLC0415  (once Django is set up)

    devices = Device.objects.filter(platform="bench").prefetch_related("channels").order_by("pk")
    job = Job.objects.filter(fanned_out_at__isnull=False).latest("id")
    job.pk, job.job_id = None, "by-orm"
    job.save(force_insert=True)
    began, last = time.monotonic(), 0
    for _ in range(0, count, PAGE):
        page = list(devices.filter(pk__gt=last)[:PAGE])
        last = page[-1].pk
        with transaction.atomic():
            PushNotificationLog.objects.bulk_create(
                PushNotificationLog(
                    device=device,
                    job=job,
                    site_id=device.site_id,
                    provider=channel.provider,
                    credential=channel.credential,
                    channel=channel,
                    priority=job.priority,
                    created_at=job.created_at,
                    next_attempt_at=job.created_at,
                    expires_at=job.created_at + timedelta(days=1),
                )
                for device in page
                for channel in device.channels.all()[:1]
            )
    return time.monotonic() - began


if __name__ == "__main__":
    django.setup()
    print(main(int(sys.argv[1])))
