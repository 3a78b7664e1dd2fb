"""The servers that tests run on: private, their ports chosen here and in the environment before Django reads it.

`TEST_DATABASE=sqlite` repeats everything that touches the database on SQLite, in a file, because races need real
connections. Nothing starts before a test asks for it. Whatever the environment named before is left alone.
"""

import atexit
import os
import shutil
import signal
from collections.abc import Iterator

import django
import hypothesis
import pytest
from django.conf import settings
from django.db import connections
from hypothesis import Phase

from tests import servers

assert not settings.configured, (
    "settings were read before the private servers were chosen: unset DJANGO_SETTINGS_MODULE"
)

SCRATCH = servers.scratch_folder()
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
POSTGRES = servers.Postgres(SCRATCH)
REDIS = servers.Redis(SCRATCH)
MQTT = servers.Mqtt(SCRATCH)
ON_SQLITE = os.environ.get("TEST_DATABASE", "postgres") == "sqlite"
STRICT = bool(os.environ.get("CI"))

os.environ.update(
    DJANGO_SETTINGS_MODULE="homepot.settings",
    SECRET_KEY="only-for-tests-" + "x" * 40,
    DATABASE_URL=f"sqlite:///{SCRATCH}/homepot.sqlite3" if ON_SQLITE else POSTGRES.url,
    CELERY_BROKER_URL=REDIS.url,
    CACHE_URL=REDIS.url_of(1),
    MQTT_URL=MQTT.url,
    ALLOW_SIMULATION="1",
    SIMULATOR="1",
    DEBUG="0",
)
django.setup()
settings.PASSWORD_HASHERS = ["tests.passwords.OneRound"]

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, and so would all that tests start

PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
hypothesis.settings.register_profile(
    "quick", phases=PHASES, derandomize=True, database=None, deadline=None, max_examples=100, stateful_step_count=40
)
hypothesis.settings.register_profile(
    "long", phases=PHASES, database=None, deadline=None, max_examples=5_000, stateful_step_count=100, print_blob=True
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "postgres_only: about PostgreSQL itself; left out on SQLite")
    config.addinivalue_line("markers", "sqlite_only: about SQLite itself; left out on PostgreSQL")


def pytest_xdist_setupnodes() -> None:
    """Processes that share the tests choose servers of their own, before Django reads where they are."""
    del os.environ["DJANGO_SETTINGS_MODULE"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On SQLite run only what touches the test database; journeys choose their databases themselves."""
    chosen = [item for item in items if _belongs(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def _belongs(item: pytest.Item) -> bool:
    if not ON_SQLITE:
        return item.get_closest_marker("sqlite_only") is None
    if item.get_closest_marker("journey") or item.get_closest_marker("postgres_only"):
        return False
    return bool(
        item.get_closest_marker("django_db") or {"db", "transactional_db"} & set(getattr(item, "fixturenames", ()))
    )


def _skip_without(part: str) -> None:
    if part in servers.missing():
        pytest.skip(f"{part} is missing")


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    """For tests that start processes: `postgres.create_database(name)` gives each its own."""
    _skip_without("PostgreSQL")
    with POSTGRES as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[servers.Redis]:
    _skip_without("Redis")
    with REDIS as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_server: servers.Redis) -> str:
    """Shared by the whole session: take a database number of your own where keys matter."""
    return redis_server.url


@pytest.fixture(scope="session")
def mqtt_broker() -> Iterator[servers.Mqtt]:
    _skip_without("MQTT")
    with MQTT as server:
        yield server


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest, redis_server: servers.Redis) -> None:
    """Start what a test with a database stands on, just before the test database is made."""
    if ON_SQLITE:
        connections["default"].settings_dict["TEST"]["NAME"] = str(SCRATCH / "test.sqlite3")
    else:
        request.getfixturevalue("postgres")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line("Could not run: " + ("; ".join(_not_run(terminalreporter)) or "nothing"), bold=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """On a build machine everything must be there: a part that is missing there is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if STRICT and reporter is not None and session.testscollected and _not_run(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _not_run(reporter: pytest.TerminalReporter) -> list[str]:
    """Parts that this machine lacks, and the reasons of skipped tests, each once."""
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in reporter.stats.get("skipped", [])]
    return list(dict.fromkeys([*servers.missing(), *reasons]))
