"""The portal: where a person makes this browser one of their devices. What it runs: clients/web/portal."""

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@require_safe
@never_cache
@login_required(login_url="portal-sign-in")
def page(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/portal.html")


class SignIn(LoginView):
    """For every person; the admin's own page takes staff alone."""

    template_name = "portal/sign_in.html"
    next_page = "portal"
    redirect_authenticated_user = True


class SignOut(LogoutView):
    next_page = "portal-sign-in"
