"""Who is told of alerts: e-mail by Django's own settings, and whatever Apprise knows an address for.

An address of Apprise holds passwords and tokens: it is named by its scheme and a fingerprint, and never written down.
"""

import hashlib
import logging
import re
import smtplib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import apprise
from django.conf import settings
from django.core.mail import EmailMessage

E_MAIL = "e-mail"
STATUS = re.compile(r"error=(\d{3})\b")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9]{1,19}):")


@dataclass(frozen=True, slots=True)
class Word:
    """What is sent: plain text."""

    title: str
    body: str
    good: bool
    """Nothing but good news."""


class Destination(ABC):
    name: str

    @abstractmethod
    def tell(self, word: Word) -> str:
        """One try, of some seconds at most: empty where it went out, else why not, without any secret."""


class EMail(Destination):
    name = E_MAIL

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = list(addresses)

    def tell(self, word: Word) -> str:
        mail = EmailMessage(" ".join(word.title.split()), word.body, settings.DEFAULT_FROM_EMAIL, self._addresses)
        try:
            mail.send()
        except smtplib.SMTPResponseException as error:
            return f"the mail server answered {error.smtp_code}"
        except (smtplib.SMTPException, OSError) as error:
            return f"the mail server was not to be had: {type(error).__name__}"
        return ""


class Service(Destination):
    """One address of Apprise."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.name = name_of(url)

    def tell(self, word: Word) -> str:
        service = apprise.Apprise()
        with apprise.LogCapture(level=logging.WARNING) as said:  # type: ignore[no-untyped-call]
            if not service.add(self._url):
                return "ALERT_URLS: Apprise knows no service of this address"
            kind = apprise.NotifyType.SUCCESS if word.good else apprise.NotifyType.WARNING
            told = service.notify(
                title=word.title, body=word.body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT
            )
            status = STATUS.search(said.getvalue())
        if told:
            return ""
        return f"the service answered {status[1]}" if status else "the service was not to be had"


def name_of(url: str) -> str:
    """`json-1f0c5a3b`: the same address has the same name, and nobody finds the address by it."""
    scheme = SCHEME.match(url)
    return f"{scheme[1].lower() if scheme else 'unknown'}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def configured() -> dict[str, Destination]:
    """By name."""
    found: list[Destination] = [Service(url) for url in settings.ALERT_URLS]
    if settings.ALERT_EMAILS:
        found.append(EMail(settings.ALERT_EMAILS))
    return {destination.name: destination for destination in found}
