"""Chromium, driven over a pipe in the protocol of its developer tools: JSON, each message ended by a NUL.

https://chromedevtools.github.io/devtools-protocol/ (read 2026-11-21). `Network` and `ServiceWorker` do what a person
cannot: cut the worker off, hand it a push, let it sync. The browser ends when the pipe does.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Self

ANSWER_S = 30.0
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)
"""Nothing but this machine has an address: no test depends on the internet, and none bothers it."""


class Refused(Exception):
    """Chromium answered a command with an error, or a script threw; the text is its own."""


class Chromium:
    """A browser with a profile of its own. As a context manager it ends at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._unread = b""
        self._messages: deque[dict[str, Any]] = deque()
        self.events: list[dict[str, Any]] = []
        """What the browser said by itself, in order."""

    def __enter__(self) -> Self:
        assert CHROMIUM is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        its_input, self._to = os.pipe()
        self._from, its_output = os.pipe()
        command = [CHROMIUM, *OPTIONS, f"--user-data-dir={self._folder / 'profile'}", "about:blank"]
        with (self._folder / "chromium.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "HOME": str(self._folder)},
                preexec_fn=lambda: _as_3_and_4(its_input, its_output),
                pass_fds=(3, 4),
                start_new_session=True,
            )
        os.close(its_input)
        os.close(its_output)
        try:
            self.command("Target.setDiscoverTargets", discover=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._to)
        os.close(self._from)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def open(self, url: str) -> "Target":
        """A page, loaded."""
        target_id = self.command("Target.createTarget", url="about:blank")["targetId"]
        page = self.attach(target_id)
        page.command("Page.enable")
        page.go(url)
        return page

    def attach(self, target_id: str) -> "Target":
        attached = self.command("Target.attachToTarget", targetId=target_id, flatten=True)
        return Target(self, attached["sessionId"])

    def command(self, method: str, session: str = "", /, **parameters: object) -> Any:
        number = next(self._numbers)
        named = {"sessionId": session} if session else {}
        sent = json.dumps({"id": number, "method": method, "params": parameters, **named}).encode() + b"\0"
        os.write(self._to, sent)
        answer = self._read_until(lambda message: message.get("id") == number)
        if "error" in answer:
            raise Refused(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def said(self, method: str, since: int = 0) -> dict[str, Any]:
        """The latest event of this kind after the first `since` of all, else the next."""

        def fits(message: dict[str, Any]) -> bool:
            return message.get("method") == method

        known = next((event for event in reversed(self.events[since:]) if fits(event)), None)
        return dict((known or self._read_until(fits))["params"])

    def _read_until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline:
            if not self._messages:
                self._read()
            for _ in range(len(self._messages)):
                message = self._messages.popleft()
                if "method" in message:
                    self.events.append(message)
                if wanted(message):
                    return message
        raise TimeoutError(f"Chromium said nothing of it within {ANSWER_S:g} s")

    def _read(self) -> None:
        """What there is, after a second at the latest."""
        if select.select([self._from], [], [], 1.0)[0]:
            chunk = os.read(self._from, 1 << 20)
            if not chunk:
                raise ConnectionError("Chromium closed its end")
            *whole, self._unread = (self._unread + chunk).split(b"\0")
            self._messages += map(json.loads, whole)


def _as_3_and_4(its_input: int, its_output: int) -> None:
    """In the child: the numbers at which Chromium looks for its pipe."""
    first, second = os.dup(its_input), os.dup(its_output)  # away from 3, 4 and each other
    os.dup2(first, 3)
    os.dup2(second, 4)


class Target:
    """A page or a worker."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session

    def command(self, method: str, **parameters: object) -> Any:
        return self._browser.command(method, self._session, **parameters)

    def go(self, url: str) -> None:
        before = len(self._browser.events)
        self.command("Page.navigate", url=url)
        self._browser.said("Page.loadEventFired", since=before)

    def run(self, expression: str) -> Any:
        """The value of an expression; a promise is waited for."""
        ran = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in ran:
            raise Refused(ran["exceptionDetails"]["exception"].get("description", "thrown"))
        return ran["result"].get("value")
