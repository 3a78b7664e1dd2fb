"""Sites, devices and channels straight into the database, for measurements: 20,000 over HTTP take many minutes."""

import re
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter

from django.db import transaction

from delivery import clocks
from delivery.models import Channel, Device, Site
from delivery.models.channel import address_hash
from delivery.models.device import Lifecycle
from delivery.models.keys import key_hash, new_key
from simulator.fleet.device import PUSH_SERVICES, Identity
from simulator.fleet.plan import Place
from simulator.fleet.push_services import Addresses
from simulator.fleet.registration import capabilities_of, channels_of
from simulator.fleet.roster import Roster

ROWS_PER_STATEMENT = 1_000
NOT_IN_AN_ID = re.compile("[^a-z0-9]+")


def register(places: Iterable[Place], roster: Roster, addresses: Addresses) -> int:
    """Make every place's device known, as if it had registered over HTTP; returns how many. Twice is harmless."""
    registered = 0
    for site_id, here in groupby(sorted(places, key=attrgetter("site_id")), key=attrgetter("site_id")):
        identities = {place: roster.find(site_id, place.name) or _identity(roster, addresses, place) for place in here}
        with transaction.atomic():
            _write(site_id, identities)
        roster.keep_all(site_id, ((place.name, identity) for place, identity in identities.items()))
        registered += len(identities)
    return registered


def _identity(roster: Roster, addresses: Addresses, place: Place) -> Identity:
    name = NOT_IN_AN_ID.sub("-", place.name.lower())
    return Identity(
        device_id=f"{roster.name}-{place.site_id}-{name}",
        api_key=new_key(),
        site_id=place.site_id,
        name=place.name,
        channel=place.channel,
        registered=True,
        address=addresses.take(place.channel) if place.channel in PUSH_SERVICES else "",
        mqtt_fallback=place.mqtt_fallback,
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
                capabilities=_capabilities(identity),
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
    pushed = {identity.device_id: identity for identity in identities.values()}
    keys = dict(Device.objects.filter(site_id=site_id, device_id__in=pushed).values_list("device_id", "pk"))
    Channel.objects.bulk_create(
        [
            Channel(
                device_id=keys[device_id],
                provider=provider,
                address=address,
                address_hash=address_hash(address),
                rank=rank,
                registered_at=now,
            )
            for device_id, identity in pushed.items()
            for rank, (provider, address) in enumerate(channels_of(identity))
        ],
        batch_size=ROWS_PER_STATEMENT,
        ignore_conflicts=True,
    )


def _capabilities(identity: Identity) -> dict[str, str]:
    declared: dict[str, str] = {}
    for provider, address in channels_of(identity):
        declared |= capabilities_of(provider, address)
    return declared
