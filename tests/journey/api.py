"""The product's HTTP API as curl would call it."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ANSWER_S = 60.0
"""Generous: a process with a false clock is slow on a machine that has other work."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any


class Api:
    """A caller: another backend with its key, or with `headers` a device."""

    def __init__(self, url: str, key: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.url = url
        self._headers = dict(headers or {"Authorization": f"Bearer {key}"})

    def as_device(self, device_id: str, key: str) -> "Api":
        return Api(self.url, headers={"X-Device-ID": device_id, "X-API-Key": key})

    def at(self, url: str) -> "Api":
        """The same caller at another web process."""
        return Api(url, headers=self._headers)

    def call(self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """One request under /api/v1; an answer of any status."""
        request = urllib.request.Request(f"{self.url}/api/v1{path}", method=method)
        for name, value in {**self._headers, **(headers or {})}.items():
            request.add_header(name, value)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as response:
                return Answer(response.status, json.loads(response.read() or b"null"))
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(refused.code, json.loads(refused.read() or b"null"))

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status == 200, answer
        return answer.body

    def order(self, target: Mapping[str, object], **push: object) -> str:
        """Order a job; its id."""
        content = {"title": "New prices", "body": "Valid from today", "data": {"action": "load_prices"}, **push}
        body = {"name": "New prices", "target": dict(target), "push_notification": content}
        answer = self.call("POST", "/jobs", body)
        assert answer.status == 202, answer
        return str(answer.body["job_id"])

    def wait_for_job(self, job_id: str, status: str, timeout_s: float) -> dict[str, Any]:
        """The job, once it has this status. A server that is too busy to say is asked again."""
        job: dict[str, Any] = {}

        def arrived() -> bool:
            answer = self.call("GET", f"/jobs/{job_id}")
            assert answer.status in (200, 503), answer
            job.update(answer.body)
            return bool(job.get("status") == status)

        wait_until(arrived, f"job {status}", timeout_s, lambda: job)
        return job

    def provision(self, site_id: str, bootstrap_key: str, name: str) -> "Api":
        """A new device of a site, as the caller that it is."""
        wanted = {"site_id": site_id, "bootstrap_key": bootstrap_key, "device_name": name}
        answer = self.call("POST", "/devices/bootstrap-provision", wanted)
        assert answer.status == 200, answer
        return self.as_device(answer.body["data"]["device_id"], answer.body["data"]["api_key"])

    @property
    def device_id(self) -> str:
        return self._headers["X-Device-ID"]

    def pending(self) -> Sequence[dict[str, Any]]:
        """What waits in the calling device's inbox."""
        pushes: Sequence[dict[str, Any]] = self.get("/push/pending")["pushes"]
        return pushes


def wait_until(
    happened: Callable[[], bool],
    what: str,
    timeout_s: float = 30.0,
    found: Callable[[], object] = lambda: "",
    *,
    pause_s: float = 0.1,
) -> None:
    """`found` is asked, when time is up, what there was instead."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, f"no {what} within {timeout_s:g} s: {found()}"
        time.sleep(pause_s)
