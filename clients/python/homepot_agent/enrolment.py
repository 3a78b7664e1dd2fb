"""How a device comes to be: it chooses its name, asks for its key, keeps it, and says what it is.

The name is on disk before the key is asked for, and the key before it is used. So a first answer that was lost is asked
for again under the same name, which the server answers with a fresh key for as long as none was used.
"""

import json
import logging
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from homepot_agent.backoff import Backoff
from homepot_agent.private_files import write_private
from homepot_agent.server import Answer, Key, Server
from homepot_agent.wire import as_json

log = logging.getLogger(__name__)

REFUSED_S = 60.0
NO_DISK_S = 10.0
DESCRIBE_EVERY_S = 24 * 3600.0
IDENTITY, PLAN = "identity.json", "name"


@dataclass(frozen=True, slots=True)
class Identity:
    server: str
    site_id: str
    device_id: str
    api_key: str
    name: str
    let_in: bool = False
    """Whether the server has taken this key before; until then it gives another one for the asking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What a device says of itself. Without a `name` one is made of the host's and four random digits."""

    site_id: str
    bootstrap_key: str = ""
    name: str = ""
    device_type: str = "pos_terminal"
    os_details: str
    firmware_version: str = ""
    host: str = "device"


class WrongFolder(Exception):
    """The state folder cannot be used as it was asked to; says what to do."""


def read_identity(folder: Path) -> Identity | None:
    file = folder / IDENTITY
    try:
        return Identity(**json.loads(file.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise WrongFolder(
            f"{file} is damaged. Have a technician issue a new key for this device, then: homepot-agent adopt"
        ) from None


def keep_identity(folder: Path, identity: Identity) -> None:
    """OSError where the disk does not take it."""
    write_private(folder / IDENTITY, as_json(asdict(identity)))


class Enrolment:
    """`on_ready` is called each time the server has let the device in."""

    def __init__(self, server: Server, folder: Path, said: Introduction, on_ready: Callable[[], None]) -> None:
        self._server = server
        self._folder = folder
        self._said = said
        self._on_ready = on_ready
        self.backoff = Backoff()
        self.identity = read_identity(folder)
        self.problem = ""
        """Why the device is not let in, and what to do about it; empty where it is, or nothing was heard yet."""
        self._check_folder()

    def step(self) -> float:
        try:
            return (self._provision() if self.identity is None else 0.0) or self._describe()
        except OSError as error:  # a key that is not on disk is not used: it is asked for again
            self._refused(f"{self._folder} takes nothing: {error.strerror}. Make room, or give another --state")
            return NO_DISK_S

    def _check_folder(self) -> None:
        found = self.identity
        if found is None and not self._said.bootstrap_key:
            raise WrongFolder("this device has no key yet: give --bootstrap-key, from the site's page in the admin")
        if found is not None and (found.server, found.site_id) != (self._server.url, self._said.site_id):
            raise WrongFolder(
                f"{self._folder} belongs to {found.device_id} of {found.site_id} at {found.server}: "
                "give another --state, or the same --server and --site"
            )

    def _provision(self) -> float:
        name = self._name()
        asked = {
            "site_id": self._said.site_id,
            "bootstrap_key": self._said.bootstrap_key,
            "device_name": name,
            "device_type": self._said.device_type,
            "os_details": self._said.os_details,
            "provisioning_source": "physical",
        }
        answer = self._server.call("POST", "/devices/bootstrap-provision", asked, keyed=False)
        if answer.later:
            return self.backoff.failed(answer.retry_after_s)
        given = answer.data.get("data") if answer.ok and isinstance(answer.data, dict) else None
        if not isinstance(given, dict):
            return self._refused(_why_not_provisioned(answer, self._said.site_id, name))
        self._keep(Identity(self._server.url, self._said.site_id, str(given["device_id"]), str(given["api_key"]), name))
        return 0.0

    def _describe(self) -> float:
        """Say what the device is; the first time this is also how its key comes to be used."""
        identity = self.identity
        assert identity is not None, "described after it was provisioned"
        self._server.key = Key(identity.device_id, identity.api_key)
        said = {
            "device_id": identity.device_id,
            "site_id": identity.site_id,
            "device_name": identity.name,
            "device_type": self._said.device_type,
            "os_details": self._said.os_details,
            "firmware_version": self._said.firmware_version,
            "device_source": "homepot-agent",
        }
        answer = self._server.call("POST", "/agent/device-dna", said)
        if answer.later:
            return self.backoff.failed(answer.retry_after_s)
        if answer.status == 401 and not identity.let_in and self._said.bootstrap_key:
            self.identity = self._server.key = None  # a later answer of the server's was lost, with a later key in it
            return self.backoff.failed()
        if answer.status in (401, 403):
            return self._refused(_why_not_let_in(answer, identity))
        if not answer.ok:
            log.warning("the server does not take what the device says of itself: %s", answer.text)
        if not identity.let_in:
            self._keep(replace(identity, let_in=True))
        self.backoff.reset()
        self.problem = ""
        self._on_ready()
        return DESCRIBE_EVERY_S

    def _name(self) -> str:
        if self._said.name:
            return self._said.name
        file = self._folder / PLAN
        if not file.exists():
            write_private(file, f"{self._said.host} {secrets.token_hex(2)}".encode())
        return file.read_text(encoding="utf-8")

    def _keep(self, identity: Identity) -> None:
        keep_identity(self._folder, identity)
        self.identity = identity

    def _refused(self, problem: str) -> float:
        if problem != self.problem:
            log.error("%s", problem)
        self.problem = problem
        return REFUSED_S


def _why_not_provisioned(answer: Answer, site_id: str, name: str) -> str:
    match answer.status:
        case 401:
            return f"the bootstrap key is not that of {site_id}: copy it again from the site's page in the admin"
        case 404:
            return f"the server knows no site {site_id}: check --site, and --server"
        case 400:
            return (
                f"{site_id} has a device named '{name}' already. Choose another --name; or, if this is that device, "
                "have a technician issue a new key for it, then: homepot-agent adopt"
            )
        case _:
            return f"the server gives no key: {answer.text}"


def _why_not_let_in(answer: Answer, identity: Identity) -> str:
    if answer.status == 403:
        return f"{identity.device_id} is not in use at the server ({answer.text}): a technician can change that"
    return (
        f"the server does not take the key of {identity.device_id}. "
        "Have a technician issue a new one for it, then: homepot-agent adopt"
    )
