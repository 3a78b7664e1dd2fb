"""The pages' addresses: understand what is asked for, read, draw. A bad filter is a page that names it (422)."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse

from analytics.api import tables
from analytics.pages import provider_page, push_health, site_page
from analytics.pages.asked import PROVIDERS, Asked, BadFilter, understand
from delivery.models import Site

View = Callable[..., HttpResponseBase]


def first_page(request: HttpRequest) -> HttpResponseBase:
    """`/admin/`: Push Health; with `?part=panels` the panels alone, for the page that asks again."""
    if not push_health.may_look(_person(request)):
        return admin.site.index(request, {"may_look": False})
    found = _read(request, push_health.panels)
    if isinstance(found, HttpResponse):
        return found
    if request.GET.get("part") == "panels":
        return TemplateResponse(request, "admin/health/panels.html", found)
    return admin.site.index(request, {"may_look": True, **found})


def site(request: HttpRequest, site_id: str) -> HttpResponseBase:
    """404 for a site that is not there, or not the person's."""
    return _page(request, "admin/health/site.html", site_page.panels, site=_site(request, site_id))


def provider(request: HttpRequest, name: str) -> HttpResponseBase:
    if name not in PROVIDERS:
        raise Http404
    return _page(request, "admin/health/provider.html", provider_page.panels, provider=name)


def table(request: HttpRequest, name: str) -> HttpResponseBase:
    """`/admin/tables/NAME.csv`, with the filters of the page that shows it, and `site`."""
    if name not in push_health.TABLES:
        raise Http404
    _must_look(request)
    site_id = request.GET.get("site")
    columns, lines = push_health.TABLES[name]
    asked = _read(request, lambda asked: {"asked": asked}, site=None if site_id is None else _site(request, site_id))
    if isinstance(asked, HttpResponse):
        return asked
    return tables.download(request, name, columns, lines(asked["asked"]))


def _page(
    request: HttpRequest, template: str, panels: Callable[[Asked], dict[str, Any]], **about: Any
) -> HttpResponseBase:
    _must_look(request)
    found = _read(request, panels, **about)
    if isinstance(found, HttpResponse):
        return found
    return TemplateResponse(request, template, {**admin.site.each_context(request), **found})


def _read(
    request: HttpRequest, panels: Callable[[Asked], dict[str, Any]], **about: Any
) -> dict[str, Any] | HttpResponse:
    try:
        return panels(understand(request, **about))
    except BadFilter as bad:
        page = {**admin.site.each_context(request), "title": "This filter is not known", "problem": str(bad)}
        return TemplateResponse(request, "admin/health/bad_filter.html", page, status=422)


def _site(request: HttpRequest, site_id: str) -> Site:
    person = _person(request)
    found = Site.objects.filter(site_id=site_id.replace("\x00", ""))
    mine = found if person.is_superuser else found.filter(technicians=person)
    site = mine.first()
    if site is None:
        raise Http404
    return site


def _must_look(request: HttpRequest) -> None:
    if not push_health.may_look(_person(request)):
        raise PermissionDenied


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "the page lets nobody in unknown"
    return request.user
