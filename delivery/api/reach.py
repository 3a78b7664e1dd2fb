"""What a caller may see, as queryset filters. "Not there" and "not yours" are the same 404.

A technician reaches the devices of their sites, any person the devices that they own, a superuser and a backend all of
them, a device itself. Only who reaches a device through its site (or all) may send to it: `managed_devices`.
"""

from django.db.models import Q, QuerySet

from delivery.api.callers import Caller
from delivery.models import Device, PushNotificationLog, Site


def sites(caller: Caller) -> QuerySet[Site]:
    everything = Site.objects.all()
    if reaches_all(caller):
        return everything
    return everything.filter(technicians=caller.person) if caller.person is not None else everything.none()


def managed_devices(caller: Caller) -> QuerySet[Device]:
    """Devices that the caller may send to, and register channels for."""
    everything = Device.objects.all()
    return everything if reaches_all(caller) else everything.filter(site__in=sites(caller).values("site_id"))


def devices(caller: Caller) -> QuerySet[Device]:
    """Devices that the caller may see."""
    everything = Device.objects.all()
    if reaches_all(caller):
        return everything
    if caller.person is not None:
        return everything.filter(Q(site__in=sites(caller).values("site_id")) | Q(owner=caller.person))
    return everything.filter(pk=caller.device.pk) if caller.device is not None else everything.none()


def messages(caller: Caller) -> QuerySet[PushNotificationLog]:
    everything = PushNotificationLog.objects.all()
    return everything if reaches_all(caller) else everything.filter(device__in=devices(caller).values("device_id"))


def reaches_all(caller: Caller) -> bool:
    return caller.backend is not None or (caller.person is not None and caller.person.is_superuser)
