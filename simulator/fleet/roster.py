"""Who the simulated devices are, kept where only their owner may read it, so that a second run goes on as the same."""

import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from homepot.brokers import write_private
from simulator.fleet.device import Identity


class Roster:
    """One file for each site; `name` tells this fleet from others at the same broker."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        name = folder / "name"
        if not name.exists():
            write_private(name, secrets.token_hex(4) + "\n")
        self.name = name.read_text(encoding="utf-8").strip()
        self._sites: dict[str, dict[str, Identity]] = {}

    def find(self, site_id: str, name: str) -> Identity | None:
        return self._site(site_id).get(name)

    def keep(self, planned_name: str, identity: Identity) -> None:
        """Keep one device's identity under the name it was planned by; it is on disk when this returns."""
        self.keep_all(identity.site_id, {planned_name: identity}.items())

    def keep_all(self, site_id: str, identities: Iterable[tuple[str, Identity]]) -> None:
        site = self._site(site_id)
        site.update(identities)
        kept = {name: asdict(identity) for name, identity in site.items()}
        write_private(self._file(site_id), json.dumps(kept, indent=0) + "\n")

    def _site(self, site_id: str) -> dict[str, Identity]:
        if site_id not in self._sites:
            file = self._file(site_id)
            kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
            self._sites[site_id] = {name: Identity(**identity) for name, identity in kept.items()}
        return self._sites[site_id]

    def _file(self, site_id: str) -> Path:
        return self._folder / f"{site_id}.json"
