"""docs/configuration.md and .env.example say what the code reads: each variable, with its default, and no other."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {"PATH": os.defpath, "SECRET_KEY": "only-for-tests-" + "x" * 40}
"""Nothing else is set, so that every default shows."""

SETTINGS = "import json, homepot.settings, homepot.env; print(json.dumps(homepot.env.READ))"

DOCUMENTED = re.compile(r"^\| `([A-Z][A-Z0-9_]*)` \| [^|]* \| (?:none|`([^`|]*)`) \|", re.MULTILINE)
"""A row of the tables in docs/configuration.md: variable, unit, default."""
EXAMPLE = re.compile(r"^#([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)
IN_PROCFILE = re.compile(r"\$\{([A-Z][A-Z0-9_]*):-([^}]*)\}")


def run_settings(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SETTINGS], cwd=ROOT, env=ENVIRONMENT | variables, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def read() -> dict[str, str]:
    """Variable -> default, as the settings and the Procfile read them; paths as seen from the project's folder."""
    found: dict[str, str] = json.loads(run_settings().stdout)
    shown = {name: default.replace(f"{ROOT}/", "") for name, default in found.items()}
    return shown | dict(IN_PROCFILE.findall((ROOT / "Procfile").read_text(encoding="utf-8")))


def entries(pattern: re.Pattern[str], file: str) -> list[tuple[str, str]]:
    return pattern.findall((ROOT / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("pattern", "file"), [(DOCUMENTED, "docs/configuration.md"), (EXAMPLE, ".env.example")])
def test_a_page_has_each_variable_with_its_default_and_no_other(
    read: dict[str, str], pattern: re.Pattern[str], file: str
) -> None:
    found = dict(entries(pattern, file))

    assert found == read


@pytest.mark.parametrize(("pattern", "file"), [(DOCUMENTED, "docs/configuration.md"), (EXAMPLE, ".env.example")])
def test_a_page_names_each_variable_once(pattern: re.Pattern[str], file: str) -> None:
    names = [name for name, _ in entries(pattern, file)]

    assert sorted(names) == sorted(set(names))


def test_every_row_of_the_page_can_be_read() -> None:
    rows = re.findall(r"^\| `([A-Z][A-Z0-9_]*)`", (ROOT / "docs/configuration.md").read_text(encoding="utf-8"), re.M)

    assert [name for name, _ in entries(DOCUMENTED, "docs/configuration.md")] == rows


def test_the_example_sets_nothing_by_itself() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if line and not line.startswith("#")] == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DEBUG", "maybe"),
        ("DEFAULT_TTL_S", "five minutes"),
        ("MAX_ATTEMPTS", "9"),
        ("RETRY_BASE_S", "nan"),
        ("DATABASE_URL", "mysql://localhost/homepot"),
        ("DATABASE_URL", "postgres://localhost:port/homepot"),
        ("CELERY_BROKER_URL", "redis://localhost:99999/0"),
        ("PUBLIC_URL", "https://"),
        ("LOG_LEVEL", "LOUD"),
        ("SIMULATION_ERROR_MIX", "retry=often"),
        ("SIMULATION_ERROR_MIX", "gremlins=1"),
        ("SIMULATION_SUCCESS_RATE", "7"),
        ("SIMULATION_MEDIAN_MS", "slow"),
        ("APNS_KEY_PATH", "/nowhere/key.p8"),
        ("CREDENTIALS_FILE", "/nowhere/credentials.toml"),
        ("CREDENTIALS_FILE", str(ROOT / "LICENSE")),
        ("JWT_KEY_FILE", "/nowhere/key.pem"),
        ("WNS_CLIENT_SECRET_FILE", "/nowhere/secret"),
        ("LEASE_S", "20"),
        ("ALERT_SITE_FAILURE_RATE", "5"),
        ("ALERT_URLS_FILE", "/nowhere/urls"),
    ],
)
def test_a_bad_value_stops_the_process_and_names_its_variable(variable: str, value: str) -> None:
    ended = run_settings(**{variable: value})

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Setting {variable} is not usable: ")


@pytest.mark.parametrize(
    "variables",
    [{"LEASE_S": "44.9"}, {"TASK_LIMIT_S": "51"}, {"TASK_LIMIT_S": "30"}, {"BATCH_BUDGET_S": "10"}],
    ids=["a lease too short", "a task too long", "no room in the task", "no room in the batch"],
)
def test_a_claim_outlasts_the_task_that_outlasts_the_batch_that_outlasts_a_send(variables: dict[str, str]) -> None:
    ended = run_settings(**variables)

    assert ended.returncode == 1
    assert ended.stderr.startswith("Setting LEASE_S is not usable: LEASE_S >= TASK_LIMIT_S + 10 and TASK_LIMIT_S > ")


def test_the_shortest_lease_is_ten_seconds_longer_than_a_task() -> None:
    assert run_settings(LEASE_S="45").returncode == 0


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"ALERT_EMAILS": "ops@example.org"}, "EMAIL_HOST"),
        ({"EMAIL_HOST": "mail", "EMAIL_USE_TLS": "1", "EMAIL_USE_SSL": "1"}, "EMAIL_USE_SSL"),
    ],
)
def test_alerts_by_e_mail_need_a_server_and_one_kind_of_tls(variables: dict[str, str], named: str) -> None:
    assert run_settings(**variables).stderr.startswith(f"Setting {named} is not usable: ")


def test_a_secret_key_is_demanded() -> None:
    ended = run_settings(SECRET_KEY="")

    assert ended.returncode == 1
    assert ended.stderr.startswith("Setting SECRET_KEY is not usable: it is missing.")


def test_a_token_issuer_needs_its_key() -> None:
    ended = run_settings(JWT_ISSUER="https://id.example")

    assert ended.stderr.startswith("Setting JWT_KEY_FILE is not usable: it is missing")
