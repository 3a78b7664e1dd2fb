import re

import pytest
from django.http import HttpResponse
from django.test import Client

from delivery.models import ApiKey, AuditLog, Channel, Device, PushNotificationLog, Site
from delivery.models.keys import key_hash, key_matches
from tests.delivery.admin.conftest import KEY, NOON


def do(client: Client, action: str, *rows: Site | Device | Channel | ApiKey) -> HttpResponse:
    page = f"/admin/delivery/{rows[0]._meta.model_name}/"
    return client.post(page, {"action": action, "_selected_action": [row.pk for row in rows]})  # type: ignore[return-value]


def shown_key(answer: HttpResponse) -> str:
    found = re.search(r'<code class="key">([^<]+)</code>', answer.content.decode())
    assert found, "no key on the page"
    return found[1]


def audited() -> list[tuple[str, str, str]]:
    return list(AuditLog.objects.order_by("id").values_list("actor", "action", "object_id"))


def test_a_disabled_channel_is_restored(admin: Client, channel: Channel) -> None:
    Channel.objects.disable([channel.pk], by="provider", code="UNREGISTERED", now=NOON)

    do(admin, "restore", channel)

    channel.refresh_from_db()
    assert (channel.state, channel.disabled_code) == ("active", "")
    assert audited() == [("person:ada", "restored", str(channel.pk))]


def test_a_bootstrap_key_is_shown_once(admin: Client, site: Site) -> None:
    answer = do(admin, "issue_bootstrap_key", site)

    site.refresh_from_db()
    assert key_matches(shown_key(answer), site.bootstrap_key_hash)
    assert "no-store" in answer["Cache-Control"]
    assert audited() == [("person:ada", "issued bootstrap key", "berlin-mitte")]
    assert shown_key(answer) not in str(AuditLog.objects.values_list("details", flat=True))


def test_a_new_device_key_leaves_the_old_one_a_day(admin: Client, till: Device) -> None:
    answer = do(admin, "issue_key", till)

    till.refresh_from_db()
    assert key_matches(shown_key(answer), till.key_hash)
    assert till.previous_key_hash == key_hash(KEY)
    assert till.previous_key_until is not None
    assert audited() == [("person:ada", "issued a key", "till-7")]


def test_a_revoked_key_is_gone_with_its_predecessor(admin: Client, till: Device) -> None:
    do(admin, "issue_key", till)

    do(admin, "revoke_key", till)

    till.refresh_from_db()
    assert (till.key_hash, till.previous_key_hash) == ("", "")
    assert audited()[-1] == ("person:ada", "revoked the keys", "till-7")


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("suspend", "active", "suspended"),
        ("activate", "suspended", "active"),
        ("retire", "suspended", "retired"),
        ("activate", "retired", "retired"),
        ("suspend", "retired", "retired"),
    ],
)
def test_a_device_moves_along_its_life(admin: Client, till: Device, action: str, before: str, after: str) -> None:
    Device.objects.update(lifecycle=before)

    do(admin, action, till)

    till.refresh_from_db()
    assert till.lifecycle == after
    assert len(audited()) == (before != after)


def test_an_api_key_is_shown_once_and_works(admin: Client) -> None:
    answer = admin.post("/admin/delivery/apikey/add/", {"name": "tills", "scopes": ["jobs:write", "jobs:read"]})

    key = ApiKey.objects.get()
    assert key.scopes == ["jobs:write", "jobs:read"]
    assert key_matches(shown_key(answer), key.key_hash)  # type: ignore[arg-type]
    assert shown_key(answer) not in admin.get("/admin/delivery/apikey/").content.decode()  # type: ignore[arg-type]
    assert audited() == [("person:ada", "issued API key", "tills")]


def test_a_revoked_api_key_is_valid_no_more(admin: Client, db: None) -> None:
    ApiKey.objects.issue("tills", ["jobs:read"])

    do(admin, "revoke", ApiKey.objects.get())

    assert not ApiKey.objects.valid().exists()
    assert audited() == [("person:ada", "revoked API key", "tills")]


def test_a_change_of_a_site_is_in_the_audit_log(admin: Client, site: Site) -> None:
    form = {"name": "Mitte", "timezone": "Europe/Berlin", "trading_hours": "{}"}

    admin.post(f"/admin/delivery/site/{site.pk}/change/", form)

    site.refresh_from_db()
    assert site.name == "Mitte"
    assert audited() == [("person:ada", "changed", "berlin-mitte")]


def test_a_time_zone_must_be_one(admin: Client) -> None:
    form = {"site_id": "s", "name": "S", "timezone": "Europe/Atlantis", "trading_hours": "{}"}

    answer = admin.post("/admin/delivery/site/add/", form)

    assert "no IANA time zone" in answer.content.decode()
    assert not Site.objects.exists()


def test_the_record_of_messages_cannot_be_changed(admin: Client, push: PushNotificationLog) -> None:
    page = f"/admin/delivery/pushnotificationlog/{push.pk}/"

    assert admin.post(f"{page}change/", {"status": "delivered"}).status_code == 403
    assert admin.post(f"{page}delete/", {"post": "yes"}).status_code == 403
