"""Every address of the API, from the patterns themselves, so that a new one is tested too."""

from typing import Any

from django.urls import URLResolver

from delivery.api import urls


def v1_routes() -> list[Any]:
    """Each with its `pattern` and its `callback.view_class`."""
    [version] = [found for found in urls.urlpatterns if isinstance(found, URLResolver) and str(found.pattern) == "v1/"]
    routes: list[Any] = version.url_patterns
    return routes
