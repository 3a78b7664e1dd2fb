"""`manage.py fault`: let a push service misbehave, and heal it."""

import json
import urllib.error
import urllib.request
from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from simulator.services.faults import GARBAGE, Do
from simulator.services.together import ADDRESSES_FILE, NAMES

TIMEOUT_S = 10
EXAMPLES = """examples:
  fault fcm 503 --retry-after 30 --share 1.0 --for 120    answer 503 UNAVAILABLE for two minutes
  fault fcm 429 --reason QUOTA_EXCEEDED --retry-after date+60
  fault fcm quota --limit 100 --window 1                  100 requests a second, then 429
  fault apns 400 --reason BadDeviceToken --share 0.2 --by address
  fault apns goaway --limit 400                           end each connection after 400 requests
  fault wns dead --share 0.05 --rotate 60                 5 % of the channels gone, others each minute
  fault wns 200 --reason dropped
  fault web_push garbage --body gzip-bomb
  fault fcm outage --for 300
  fault list
  fault clear                                             all; or: clear fcm, clear 3
"""


class Command(BaseCommand):
    help = "Put a fault in force at a running push service, list the faults, or end them."
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, epilog=EXAMPLES, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=[*NAMES, "list", "clear"])
        parser.add_argument("do", nargs="?", default="", help=f"a status, or one of {', '.join(Do)}")
        parser.add_argument("--reason", default="", help="the service's own word for the refusal")
        parser.add_argument("--retry-after", default="", help="sent as written; date+30 is an HTTP-date 30 s ahead")
        parser.add_argument("--share", type=float, default=1.0, help="of the requests or addresses (default: 1.0)")
        parser.add_argument("--by", choices=["request", "address"], default="request", help="draw lots for each")
        parser.add_argument("--address", action="append", default=[], dest="addresses", help="only for this one")
        parser.add_argument("--at", choices=["send", "token"], default="send", help="sends, or the token endpoint")
        parser.add_argument("--delay", type=float, default=0.0, dest="delay_s", help="seconds, for delay and drip")
        parser.add_argument("--limit", type=int, default=0, help="requests, for goaway, quota and streams")
        parser.add_argument("--window", type=float, default=1.0, dest="window_s", help="seconds, for quota")
        parser.add_argument("--rotate", type=float, default=0.0, dest="rotate_s", help="seconds, for dead")
        parser.add_argument("--body", choices=list(GARBAGE), default="html", help="for garbage")
        parser.add_argument("--for", type=float, default=None, dest="for_s", help="seconds; without it until cleared")
        parser.add_argument("--ca-dir", type=Path, default=Path("var/push-services"), help="as of push_services")
        parser.add_argument("--control", default="", help="the control port's URL, instead of asking --ca-dir")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["what"]:
            case "list":
                self._list(options)
            case "clear":
                self._clear(options)
            case service:
                self._add(service, options)

    def _add(self, service: str, options: dict[str, Any]) -> None:
        if not options["do"]:
            raise CommandError(f"say what {service} is to do: a status, or one of {', '.join(Do)}")
        names = ("reason", "retry_after", "share", "by", "addresses", "at", "delay_s", "limit", "window_s")
        fault = {name: options[name] for name in (*names, "rotate_s", "body", "for_s")}
        do = options["do"]
        fault |= {"do": Do.ANSWER.value, "status": int(do)} if do.isdecimal() else {"do": do}
        answer = _call(options, "POST", "/faults", {"service": service, **fault})
        lasts = "until it is cleared" if options["for_s"] is None else f"for {options['for_s']:g} s"
        self.stdout.write(f"fault {answer['number']}: {service} {do} {lasts}")

    def _list(self, options: dict[str, Any]) -> None:
        for fault in _call(options, "GET", "/faults")["faults"]:
            words = [f"{name}={value}" for name, value in fault.items() if value not in ("", 0, 0.0, [], None)]
            self.stdout.write(" ".join(words))

    def _clear(self, options: dict[str, Any]) -> None:
        chosen = options["do"]
        query = "" if not chosen else f"?number={chosen}" if chosen.isdecimal() else f"?service={chosen}"
        self.stdout.write(f"ended: {_call(options, 'DELETE', f'/faults{query}')['ended']}")


def _call(options: dict[str, Any], method: str, path: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask the control port; what it refuses, and a port where nobody listens, is a CommandError."""
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(f"{_control_url(options)}{path}", data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as refusal:
        with refusal:
            raise CommandError(json.load(refusal)["detail"]) from None
    except OSError as problem:
        raise CommandError(f"no push services answer there: {problem}") from None
    return answer


def _control_url(options: dict[str, Any]) -> str:
    if options["control"]:
        return str(options["control"])
    try:
        return str(json.loads((options["ca_dir"] / ADDRESSES_FILE).read_text())["control"])
    except OSError:
        raise CommandError(f"no {ADDRESSES_FILE} in {options['ca_dir']}: is push_services running?") from None
