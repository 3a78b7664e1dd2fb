"""Orders over HTTP: what is accepted, what is refused, and what is committed when the answer comes."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from redis import Redis
from rest_framework.test import APIClient

from delivery import fanout, jobs
from delivery.models import ApiKey, Job, PushNotificationLog
from delivery.providers import BUILT_IN
from delivery.providers.simulation import Simulation
from tests import races
from tests.delivery.rows import a_channel, a_device, a_site

pytestmark = pytest.mark.django_db

JOBS = "/api/v1/jobs"


def order(**fields: Any) -> dict[str, Any]:
    return {"name": "Config 2.1", "target": {"all": True}, "push_notification": {"title": "Update"}, **fields}


@pytest.fixture
def backend(transactional_db: None) -> APIClient:
    return signed_in(ApiKey.objects.issue("till-office", ["jobs:write", "jobs:read", "messages:read"]))


def signed_in(bearer: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {bearer}")
    return client


def devices_with_messages() -> list[str]:
    return sorted(row.device_id for row in PushNotificationLog.objects.all())


def run_fanout() -> None:
    while fanout.fan_out_chunk():
        pass


def test_a_job_for_one_device_makes_exactly_one_message(backend: APIClient) -> None:
    site = a_site()
    for number in range(3):
        a_device(f"till-{number}", site=site)

    answer = backend.post(JOBS, order(target={"devices": ["till-1"]}))
    run_fanout()

    assert answer.status_code == 202
    assert devices_with_messages() == ["till-1"]


def test_messages_for_few_devices_are_written_with_the_order(backend: APIClient, broker: Redis) -> None:
    for number in range(jobs.AT_ONCE):
        a_channel(a_device(f"till-{number}"))

    answer = backend.post(JOBS, order())

    assert PushNotificationLog.objects.filter(status="pending").count() == jobs.AT_ONCE
    assert (broker.llen("fanout"), broker.llen("push.simulation") > 0) == (0, True)
    job = Job.objects.get()
    assert (job.status, job.fanned_out_at is not None) == ("running", True)
    said = answer.json()
    assert (answer.status_code, said["status"], said["fanned_out"]) == (202, "running", True)
    assert said["progress"]["targeted"] == jobs.AT_ONCE


def test_an_order_for_one_more_waits_for_the_fan_out(backend: APIClient, broker: Redis) -> None:
    for number in range(jobs.AT_ONCE + 1):
        a_channel(a_device(f"till-{number}"))

    backend.post(JOBS, order())

    assert (PushNotificationLog.objects.count(), broker.llen("fanout")) == (0, 1)


def test_a_site_of_120_devices_makes_120_messages(backend: APIClient) -> None:
    site, other = a_site("site-1"), a_site("site-2")
    for number in range(120):
        a_device(f"till-{number}", site=site)
    a_device("elsewhere", site=other)

    job_id = backend.post(JOBS, order(target={"sites": ["site-1"]})).json()["job_id"]
    run_fanout()

    progress = backend.get(f"{JOBS}/{job_id}").json()["progress"]
    assert (progress["targeted"], progress["pending"]) == (120, 120)
    assert PushNotificationLog.objects.filter(site_id="site-1").count() == 120


def test_targets_are_united(backend: APIClient) -> None:
    person = User.objects.create_user("ada")
    a_device("by-site", site=a_site())
    a_device("by-segment", segment="kiosk")
    a_device("by-name")
    a_device("by-user", owner=person)
    a_device("not-meant")

    backend.post(
        JOBS,
        order(target={"sites": ["site-1"], "segments": ["kiosk"], "devices": ["by-name"], "users": [person.pk]}),
    )
    run_fanout()

    found = set(devices_with_messages())
    assert found == {"by-site", "by-segment", "by-name", "by-user"}


def test_the_same_key_and_body_is_the_same_job(backend: APIClient) -> None:
    first = backend.post(JOBS, order(), HTTP_IDEMPOTENCY_KEY="k-1")
    again = backend.post(JOBS, order(), HTTP_IDEMPOTENCY_KEY="k-1")

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["job_id"] == again.json()["job_id"]
    assert Job.objects.count() == 1


def test_the_same_key_with_another_body_is_refused(backend: APIClient) -> None:
    backend.post(JOBS, order(), HTTP_IDEMPOTENCY_KEY="k-1")

    answer = backend.post(JOBS, order(name="Something else"), HTTP_IDEMPOTENCY_KEY="k-1")

    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["detail"]


def test_another_caller_may_use_the_same_key(backend: APIClient) -> None:
    other = signed_in(ApiKey.objects.issue("other", ["jobs:write"]))

    first = backend.post(JOBS, order(), HTTP_IDEMPOTENCY_KEY="k-1").json()["job_id"]

    assert other.post(JOBS, order(), HTTP_IDEMPOTENCY_KEY="k-1").json()["job_id"] != first


@pytest.mark.django_db(transaction=True)
def test_the_same_order_sent_twice_at_once_is_one_job(backend: APIClient) -> None:
    def post() -> Any:
        return backend.post(JOBS, order(), HTTP_IDEMPOTENCY_KEY="k-1").json()["job_id"]

    ids = races.at_once(post, post, post)

    assert len(set(ids)) == 1
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"template": "t"}, "template"),
        ({"scheduled_for": "2027-01-01T00:00:00Z"}, "scheduled_for"),
        ({"rollout": {}}, "rollout"),
        ({"dry_run": True}, "dry_run"),
        ({"surprise": 1}, "surprise"),
        ({"target": {"planets": ["mars"]}}, "target"),
        ({"target": {}}, "target"),
        ({"target": {"devices": ["nobody"]}}, "target.devices"),
        ({"target": {"sites": ["nowhere"]}}, "target.sites"),
        ({"target": {"users": [10**9]}}, "target.users"),
        ({"push_notification": {}}, "push_notification"),
        ({"push_notification": {"title": "x", "priority": "urgent"}}, "push_notification"),
        ({"push_notification": {"title": "x", "ttl_seconds": 0}}, "push_notification"),
        ({"push_notification": {"title": "x" * 201}}, "push_notification"),
        ({"name": ""}, "name"),
    ],
)
def test_what_is_wrong_or_not_built_is_refused_by_name(backend: APIClient, body: dict[str, Any], named: str) -> None:
    answer = backend.post(JOBS, order(**body))

    assert (answer.status_code, Job.objects.count()) == (422, 0)
    assert named in answer.json()["detail"]


def test_a_dry_run_says_that_it_is_not_supported_yet(backend: APIClient) -> None:
    assert backend.post(JOBS, order(dry_run=True)).json()["detail"]["dry_run"] == ["not supported yet"]


def test_a_technician_sends_to_the_sites_given_to_them_and_no_other() -> None:
    technician = User.objects.create_user("tess")
    mine, other = a_site("mine"), a_site("other")
    mine.technicians.add(technician)
    a_device("till-mine", site=mine)
    a_device("till-other", site=other)
    client = APIClient()
    client.force_login(technician)

    assert client.post(JOBS, order(target={"sites": ["other"]})).status_code == 422
    assert client.post(JOBS, order(target={"devices": ["till-other"]})).status_code == 422
    assert client.post(JOBS, order(target={"all": True})).status_code == 202
    run_fanout()
    assert devices_with_messages() == ["till-mine"]


def test_who_has_no_site_may_not_order() -> None:
    client = APIClient()
    client.force_login(User.objects.create_user("carl"))

    assert client.post(JOBS, order()).status_code == 403


def test_a_key_without_the_scope_may_not_order() -> None:
    assert signed_in(ApiKey.objects.issue("reader", ["jobs:read"])).post(JOBS, order()).status_code == 403


def test_configuration_travels_in_the_data(backend: APIClient) -> None:
    push = {"config_url": "https://example.com/2.1.json", "version": "2.1"}

    backend.post(JOBS, order(push_notification=push))

    assert Job.objects.get().payload["data"] == {"config_url": "https://example.com/2.1.json", "version": "2.1"}


def test_a_push_to_an_address_goes_to_its_device_by_that_channel(backend: APIClient) -> None:
    device = a_device("till-1")
    a_channel(device, "mqtt", 0, address="till-1")
    second = a_channel(device, "simulation", 1, address="sim-1")

    answer = backend.post(
        "/api/v1/push/send", {"platform": "simulation", "device_token": "sim-1", "title": "Hi", "body": "there"}
    )

    message = PushNotificationLog.objects.get()
    assert answer.status_code == 200
    assert set(answer.json()) == {"success", "message", "message_id", "platform", "timestamp", "details"}
    assert (answer.json()["message_id"], message.channel_id) == (str(message.message_id), second.pk)


def test_a_push_to_a_device_says_by_which_provider_it_goes(backend: APIClient) -> None:
    a_channel(a_device("till-1"), "mqtt", 0)
    a_device("till-2")

    said = [
        backend.post("/api/v1/push/send", {"device_id": name, "title": "Hi", "body": "there"}).json()["platform"]
        for name in ("till-1", "till-2")
    ]

    assert said == ["mqtt", "inbox"]


def test_an_unknown_address_gets_nothing_and_is_named_so(backend: APIClient) -> None:
    answer = backend.post(
        "/api/v1/push/send", {"platform": "fcm_linux", "device_token": "stranger", "title": "Hi", "body": "there"}
    )

    assert (answer.status_code, answer.json()["success"]) == (200, False)
    assert answer.json()["details"] == {"code": "unknown_address"}
    assert PushNotificationLog.objects.count() == 0


def test_a_push_may_name_a_provider_from_another_package(backend: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILT_IN, "pager", Simulation)
    a_channel(a_device("till-1"), "pager", address="pager-1")

    answer = backend.post(
        "/api/v1/push/send", {"platform": "pager", "device_token": "pager-1", "title": "Hi", "body": "there"}
    )

    assert (answer.status_code, answer.json()["success"]) == (200, True)


def test_a_bulk_push_counts_accepted_orders(backend: APIClient) -> None:
    for name in ("a", "b"):
        a_channel(a_device(name), "simulation", address=f"sim-{name}")

    answer = backend.post(
        "/api/v1/push/send-bulk",
        {"platform": "simulation", "device_tokens": ["sim-a", "nobody", "sim-b"], "title": "Hi", "body": "there"},
    ).json()

    assert (answer["total"], answer["success_count"], answer["failure_count"]) == (3, 2, 1)
    assert PushNotificationLog.objects.count() == 2


def test_a_site_job_for_one_device_reaches_one_device(backend: APIClient) -> None:
    site = a_site()
    for name in ("till-1", "till-2"):
        a_device(name, site=site)

    answer = backend.post("/api/v1/sites/site-1/jobs", {"action": "Update POS payment config", "device_id": "till-2"})
    run_fanout()

    assert answer.status_code == 200
    assert set(answer.json()) == {"message", "job_id", "site_id", "action", "status"}
    assert devices_with_messages() == ["till-2"]


def test_a_site_job_for_another_sites_device_is_not_found(backend: APIClient) -> None:
    a_site("site-1")
    a_device("till-2", site=a_site("site-2"))

    assert backend.post("/api/v1/sites/site-1/jobs", {"device_id": "till-2"}).status_code == 404


def test_an_agent_push_answers_in_the_old_shape(backend: APIClient) -> None:
    a_device("till-1", site=a_site())

    answer = backend.post("/api/v1/agents/till-1/push", {"message": "Close the till", "unheard_of": 1}).json()

    assert set(answer) == {"message", "device_id", "message_id", "response"}
    assert set(answer["response"]) == {"status", "message", "device_id", "message_id", "timestamp"}
    assert answer["message"] == "Push notification sent to till-1"
    assert Job.objects.get().payload["body"] == "Close the till"


def test_progress_parts_sum_to_what_is_targeted(backend: APIClient) -> None:
    site = a_site()
    a_device("active", site=site)
    a_device("retired", site=site, lifecycle="retired")
    a_device("mute", site=site, key="")

    job_id = backend.post(JOBS, order(target={"sites": ["site-1"]})).json()["job_id"]
    run_fanout()

    progress = jobs.count(job_id)
    assert progress["targeted"] == 3
    assert progress["targeted"] == sum(progress[part] for part in jobs.PARTS)
    reasons = set(PushNotificationLog.objects.filter(status="skipped").values_list("error_code", flat=True))
    assert reasons == {"device_retired", "no_channel"}


def test_what_a_provider_would_refuse_is_refused_when_it_is_ordered(backend: APIClient) -> None:
    a_channel(a_device("till-1"), "simulation")
    push = {"title": "x", "data": {"text": "x" * 5000}}

    answer = backend.post(JOBS, order(push_notification=push))

    assert (answer.status_code, Job.objects.count()) == (422, 0)
    assert "simulation sends it, which takes 4096" in answer.json()["detail"]["push_notification"][0]


def test_what_only_larger_providers_carry_is_accepted(backend: APIClient) -> None:
    a_channel(a_device("till-1"), "mqtt")
    push = {"title": "x", "data": {"text": "x" * 5000}}

    assert backend.post(JOBS, order(push_notification=push)).status_code == 202


def test_a_provider_is_named_by_any_of_its_spellings(backend: APIClient) -> None:
    push = {"title": "x", "platforms": {"fcm_linux": {"title": "y"}}}

    backend.post(JOBS, order(push_notification=push))

    assert Job.objects.get().payload["platforms"] == {"fcm": {"title": "y"}}


def test_an_unknown_platform_is_refused(backend: APIClient) -> None:
    push = {"title": "x", "platforms": {"pigeon": {}}}

    assert backend.post(JOBS, order(push_notification=push)).status_code == 422


def test_a_message_may_wake_its_device(backend: APIClient) -> None:
    answer = backend.post(JOBS, order(push_notification={"title": "x", "wake": True}))

    assert (answer.status_code, Job.objects.get().payload["wake"]) == (202, True)


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("https://shop.example/till?id=7", 202),
        ("http://shop.example/", 202),
        ("ftp://shop.example/", 422),
        ("javascript:alert(1)", 422),
        ("shop.example", 422),
        (f"https://shop.example/{'x' * 480}", 422),
    ],
)
def test_a_button_may_open_a_web_page_and_nothing_else(backend: APIClient, url: str, status: int) -> None:
    button = {"action": "open", "title": "Open", "url": url}

    answer = backend.post(JOBS, order(push_notification={"title": "x", "actions": [button]}))

    kept = [job.payload["actions"] for job in Job.objects.all()]
    assert (answer.status_code, kept) == (status, [[button]] if status == 202 else [])
