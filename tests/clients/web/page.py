"""The portal as a person sees it, in whichever browser."""

import json
from typing import Any, Protocol

from tests.clients.web.product import PERSON, Portal
from tests.journey.api import wait_until

SIGN_IN = """(([name, password]) => {
  document.querySelector('[name=username]').value = name;
  document.querySelector('[name=password]').value = password;
  document.querySelector('.sign-in button').click();
})(%s)"""


class Browser(Protocol):
    def go(self, url: str) -> None: ...

    def run(self, expression: str) -> Any: ...


class Page:
    def __init__(self, browser: Browser, portal: Portal) -> None:
        self._browser = browser
        self._portal = portal

    def sign_in(self, person: str = PERSON, password: str = "") -> None:
        """Sign in and wait until the page knows whether this browser receives."""
        self._browser.go(f"{self._portal.url}/portal/sign-in/")
        self._browser.run(SIGN_IN % json.dumps([person, password or self._portal.password]))
        self._settle()

    def sign_out(self) -> None:
        self._browser.run("document.querySelector('header button').click()")
        wait_until(lambda: self._browser.run("!!document.querySelector('.sign-in')"), "sign-in form")

    def visit(self) -> None:
        self._browser.go(f"{self._portal.url}/portal/")
        self._settle()

    def press(self) -> None:
        """The switch, and wait for what comes of it."""
        self._browser.run("document.getElementById('switch').click()")
        self._settle()

    @property
    def receives(self) -> bool:
        return bool(self._browser.run("document.getElementById('state').dataset.receives === 'true'"))

    @property
    def problem(self) -> str:
        """The code of what went wrong; empty when nothing did."""
        return str(self._browser.run("document.getElementById('problem').dataset.code ?? ''"))

    def shows(self, text: str) -> bool:
        return text in self._browser.run("document.querySelector('main').innerText")

    def wait_for(self, text: str) -> None:
        wait_until(lambda: self.shows(text), f"{text!r} on the page", pause_s=0.02)

    def _settle(self) -> None:
        ready = "document.getElementById('switch')?.disabled === false"
        wait_until(lambda: bool(self._browser.run(ready)), "portal that is ready", pause_s=0.02)
