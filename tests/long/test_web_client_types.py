"""The web client is plain JavaScript; TypeScript's compiler checks the types that its comments name."""

import shutil
from pathlib import Path

import pytest

from tests.long.conftest import ANSWER_S, INSTALL, INSTALL_S
from tests.processes import ROOT, spawn

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def web_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with its compiler installed."""
    if absent := [program for program in ("node", "npm") if shutil.which(program) is None]:
        pytest.skip(f"Node.js ({' and '.join(absent)}) is missing")
    folder = tmp_path_factory.mktemp("web") / "client"
    shutil.copytree(ROOT / "clients" / "web", folder, ignore=shutil.ignore_patterns("node_modules"))
    spawn("npm", INSTALL, folder=folder, cwd=folder).finish(INSTALL_S)
    return folder


def test_the_page_and_the_worker_keep_to_their_types(web_client: Path) -> None:
    spawn("tsc", ["npm", "run", "check"], folder=web_client, cwd=web_client).finish(ANSWER_S)
