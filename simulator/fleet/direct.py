"""Sites, devices and channels straight into the database, for measurements: 20,000 over HTTP take many minutes."""

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter

from django.db import transaction

from delivery import clocks
from delivery.models import Channel, Device, Site
from delivery.models.channel import address_hash
from delivery.models.device import Lifecycle
from delivery.models.keys import key_hash, new_key
from simulator.fleet.device import INBOX, MQTT, Identity
from simulator.fleet.plan import Place
from simulator.fleet.registration import address_of
from simulator.fleet.roster import Roster

ROWS_PER_STATEMENT = 1_000


def register(places: Iterable[Place], roster: Roster) -> int:
    """Make every place's device known, as if it had registered over HTTP; returns how many. Twice is harmless."""
    registered = 0
    for site_id, here in groupby(sorted(places, key=attrgetter("site_id")), key=attrgetter("site_id")):
        identities = {place: roster.find(site_id, place.name) or _identity(roster, place) for place in here}
        with transaction.atomic():
            _write(site_id, identities)
        roster.keep_all(site_id, ((place.name, identity) for place, identity in identities.items()))
        registered += len(identities)
    return registered


def _identity(roster: Roster, place: Place) -> Identity:
    name = place.name.lower().replace(" ", "-")
    return Identity(
        device_id=f"{roster.name}-{place.site_id}-{name}",
        api_key=new_key(),
        site_id=place.site_id,
        name=place.name,
        channel=place.channel,
        registered=True,
    )


def _write(site_id: str, identities: dict[Place, Identity]) -> None:
    now = clocks.db_now()
    Site.objects.get_or_create(site_id=site_id, defaults={"name": site_id})
    Device.objects.bulk_create(
        [
            Device(
                device_id=identity.device_id,
                site_id=site_id,
                name=identity.name,
                platform=place.model.os_details,
                device_type=place.model.device_type,
                lifecycle=Lifecycle.ACTIVE,
                capabilities={"mqtt_client_id": identity.device_id} if identity.channel == MQTT else {},
                key_hash=key_hash(identity.api_key),
                key_used_at=now,
            )
            for place, identity in identities.items()
        ],
        batch_size=ROWS_PER_STATEMENT,
        update_conflicts=True,
        unique_fields=["device_id"],
        update_fields=["key_hash", "lifecycle"],
    )
    pushed = {identity.device_id: identity for identity in identities.values() if identity.channel != INBOX}
    keys = dict(Device.objects.filter(site_id=site_id, device_id__in=pushed).values_list("device_id", "pk"))
    Channel.objects.bulk_create(
        [
            Channel(
                device_id=keys[device_id],
                provider=identity.channel,
                address=address_of(identity),
                address_hash=address_hash(address_of(identity)),
                registered_at=now,
            )
            for device_id, identity in pushed.items()
        ],
        batch_size=ROWS_PER_STATEMENT,
        ignore_conflicts=True,
    )
