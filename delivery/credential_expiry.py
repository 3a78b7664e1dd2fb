"""When a credential ends, as far as its own files say, and which ones end soon.

What has no end is not listed: a .p8 key, a VAPID key pair (the tokens signed with either are made anew all day) and a
service account's key as Google's console gives it are good until somebody revokes them. Of a secret that does end but
does not say so, such as WNS's `client_secret`, the operator states the end: `expires_at` in CREDENTIALS_FILE.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from delivery import credentials

WARN_BEFORE = timedelta(days=30)
MAX_FILE_BYTES = 1_000_000
STATED = "expires_at"
SERVICE_ACCOUNT_ENDS = ("valid_before", "validBeforeTime")
"""The end of a service account's key in the spellings of the IAM API, kept by some tools that write the key's file."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A credential whose end is near or past."""

    provider: str
    credential: str
    setting: str
    """The setting that ends first."""
    at: datetime

    @property
    def subject(self) -> str:
        return f"{self.provider}/{self.credential}"

    def text(self, now: datetime) -> str:
        days = (self.at - now).days
        when = f"ends in {days} days" if self.at > now else "has ended"
        return f"{self.setting} of {self.subject} {when} ({self.at:%Y-%m-%d %H:%M} UTC). Renew it: docs/credentials.md"


def expires_at(config: Mapping[str, Any]) -> tuple[datetime, str] | None:
    """The first end among a credential's settings, and the name of that setting; None where nothing says when."""
    return min(_ends(config), default=None)


def ending_soon(now: datetime) -> list[Ending]:
    """Every configured credential that ends within 30 days, or has ended."""
    return [
        Ending(provider, name, end[1], end[0])
        for provider, named in credentials.configured().items()
        for name, config in named.items()
        if (end := expires_at(config)) is not None and end[0] <= now + WARN_BEFORE
    ]


def end_of_certificates(pem: bytes, *, any_will_do: bool) -> datetime | None:
    """`any_will_do`: of authorities, where a new one beside the old one is enough, the last; of a chain the first."""
    try:
        ends = [each.not_valid_after_utc for each in x509.load_pem_x509_certificates(pem)]
    except ValueError:
        return None
    return max(ends) if any_will_do else min(ends)


def end_of_service_account(text: bytes) -> datetime | None:
    try:
        account = json.loads(text)
        said = next((account[key] for key in SERVICE_ACCOUNT_ENDS if account.get(key)), None)
        return _moment(datetime.fromisoformat(said)) if isinstance(said, str) else None
    except (ValueError, AttributeError, RecursionError):
        return None


def _ends(config: Mapping[str, Any]) -> Iterator[tuple[datetime, str]]:
    if isinstance(stated := config.get(STATED), date):
        yield _moment(stated), STATED
    for setting, path in credentials.files(config).items():
        content = _read(path)
        end = end_of_certificates(content, any_will_do=setting == "ca_file") or end_of_service_account(content)
        if end is not None:
            yield end, setting


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except (OSError, ValueError):
        return b""


def _moment(said: date) -> datetime:
    """A date is its first moment; a time without a zone is UTC."""
    if not isinstance(said, datetime):
        return datetime(said.year, said.month, said.day, tzinfo=UTC)
    return said if said.tzinfo else said.replace(tzinfo=UTC)
