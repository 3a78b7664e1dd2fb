"""Firefox, driven by the protocol that it speaks itself: JSON with its length before it, over TCP.

https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html (read 2026-11-21)
"""

import json
import shutil
import socket
from base64 import b64decode
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, Self

from tests.processes import Process, free_port, spawn

ANSWER_S = 30.0
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
PREFERENCES: Mapping[str, object] = {
    "dom.push.testing.allowInsecureServerURL": True,
    "dom.push.connection.enabled": True,
    "dom.push.retryBaseInterval": 200,
    "permissions.default.desktop-notification": 1,
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.proxy.no_proxies_on": "127.0.0.1, localhost",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "app.update.enabled": False,
}
"""A dead proxy for all that is not this machine: no test depends on the internet, and none bothers it."""

TAKE_NOTIFICATIONS = """
const shown = [];
const generate = ChromeUtils.generateQI;
const alerts = {
  QueryInterface: generate(["nsIAlertsService"]),
  showAlert(alert, listener) {
    shown.push(() => listener.observe(null, "alertclickcallback", alert.cookie));
    listener.observe(null, "alertshow", alert.cookie);
  },
  closeAlert() {},
};
const factory = { QueryInterface: generate(["nsIFactory"]), createInstance: (iid) => alerts.QueryInterface(iid) };
const registrar = Components.manager.QueryInterface(Ci.nsIComponentRegistrar);
registrar.registerFactory(Services.uuid.generateUUID(), "", "@mozilla.org/alerts-service;1", factory);
Services.obs.addObserver({ observe: () => shown.at(-1)() }, "test-clicks-notification");
"""
"""In the place of the desktop, which a headless browser lacks: holds the notifications that are shown."""


class Refused(Exception):
    """Firefox answered a command with an error; the text is its own."""


class Firefox:
    """A browser with a profile of its own, which outlives it. As a context manager it ends at the end."""

    def __init__(self, folder: Path, push_url: str) -> None:
        self._folder = folder
        self._profile = folder / "profile"
        self._push_url = push_url
        self._numbers = count(1)
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.quit()

    def start(self) -> None:
        """With the profile as it was left, and no page open."""
        assert FIREFOX is not None
        port = free_port()
        self._profile.mkdir(parents=True, exist_ok=True)
        wanted = {**PREFERENCES, "dom.push.serverURL": self._push_url, "marionette.port": port}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in wanted.items()]
        (self._profile / "user.js").write_text("".join(lines), encoding="utf-8")
        command: list[str | Path] = [FIREFOX, "--headless", "--no-remote", "--profile", self._profile]
        options = ["--marionette", "--remote-allow-system-access"]
        env = {"HOME": str(self._folder), "MOZ_CRASHREPORTER_DISABLE": "1"}
        self._process = spawn("firefox", [*command, *options], folder=self._folder, env=env)
        try:
            self._process.wait_for_port(port)
            self._socket = socket.create_connection(("127.0.0.1", port), ANSWER_S)
            self._stream = self._socket.makefile("rb")
            self._read()  # it introduces itself
            self.command("WebDriver:NewSession")
            self.command("WebDriver:SetTimeouts", script=int(ANSWER_S * 1000))
            self._inside(TAKE_NOTIFICATIONS)
        except BaseException:
            self._process.kill()
            raise

    def quit(self) -> None:
        assert self._process is not None
        try:
            self.command("Marionette:Quit", flags=["eForceQuit"])
            self._process.wait(ANSWER_S)
        finally:
            self._stream.close()
            self._socket.close()
            self._process.kill()

    def go(self, url: str) -> None:
        self.command("WebDriver:Navigate", url=url)

    def other_tabs(self, *, close: bool = False) -> list[str]:
        """What the tabs show that are not in our hands."""
        shown = []
        own = self.command("WebDriver:GetWindowHandle")["value"]
        for handle in self.command("WebDriver:GetWindowHandles"):
            if handle != own:
                self.command("WebDriver:SwitchToWindow", handle=handle)
                shown.append(self.command("WebDriver:GetCurrentURL")["value"])
                if close:
                    self.command("WebDriver:CloseWindow")
        self.command("WebDriver:SwitchToWindow", handle=own)
        return shown

    def run(self, expression: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        return self.command("WebDriver:ExecuteScript", script=f"return ({expression})", args=[])["value"]

    def prefer(self, name: str, value: int) -> None:
        """Change a setting, as a person does on about:config."""
        self._inside(f"Services.prefs.setIntPref({json.dumps(name)}, {value})")

    def click_notification(self) -> None:
        """The latest, as a person does on the desktop."""
        self._inside("Services.obs.notifyObservers(null, 'test-clicks-notification')")

    def screenshot(self, file: Path) -> None:
        file.write_bytes(b64decode(self.command("WebDriver:TakeScreenshot", full=False)["value"]))

    def _inside(self, script: str) -> None:
        """With all the rights of the browser itself."""
        self.command("Marionette:SetContext", value="chrome")
        try:
            self.command("WebDriver:ExecuteScript", script=script, args=[])
        finally:
            self.command("Marionette:SetContext", value="content")

    def command(self, name: str, **parameters: object) -> Any:
        number = next(self._numbers)
        sent = json.dumps([0, number, name, parameters]).encode()
        self._socket.sendall(f"{len(sent)}:".encode() + sent)
        _, answered, error, result = self._read()
        assert answered == number
        if error:
            raise Refused(f"{name}: {error['error']}: {error['message']}")
        return result

    def _read(self) -> Any:
        digits = b""
        while (byte := self._stream.read(1)) != b":":
            if not byte:
                raise ConnectionError("Firefox closed its end")
            digits += byte
        return json.loads(self._stream.read(int(digits)))
