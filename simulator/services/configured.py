"""How the product is told to send through the emulated services: the tables of its CREDENTIALS_FILE."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from homepot.brokers import write_private
from simulator.services.tls import key_pem

VAPID_KEY_FILE = "vapid.pem"
SUBJECT = "mailto:ops@example.org"


def write_credentials(file: Path, described: Mapping[str, Any], home: Path) -> None:
    """Replace `file` at once by a `default` credential of each service; `home` keeps the sender's VAPID key."""
    tables = {
        "fcm": described["fcm"],
        "apns": {**described["apns"], "sandbox_url": described["apns"]["url"]},
        "wns": _wns(described["wns"]),
        "web_push": {
            "private_key": str(_vapid_key(home)),
            "subject": SUBJECT,
            "ca_file": described["web_push"]["ca_file"],
            "allow_origins": described["web_push"]["url"],
        },
    }
    write_private(file, "\n".join(_table(name, table) for name, table in tables.items()))


def _wns(described: Mapping[str, str]) -> dict[str, str]:
    secrets = json.loads(Path(described["credentials_file"]).read_text(encoding="utf-8"))
    return {
        **{key: secrets[key] for key in ("tenant_id", "client_id", "client_secret")},
        "token_url": described["entra_token_url"],
        "ca_file": described["ca_file"],
        "allow_origins": described["url"],
    }


def _vapid_key(home: Path) -> Path:
    """The same as last time: browsers subscribe with it."""
    file = home.resolve() / VAPID_KEY_FILE
    if not file.exists():
        write_private(file, key_pem(ec.generate_private_key(ec.SECP256R1())).decode())
    return file


def _table(name: str, values: Mapping[str, str]) -> str:
    """A JSON string is a TOML string, too."""
    return "\n".join([f"[{name}.default]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""])
