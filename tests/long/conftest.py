"""Node.js with the packages of package-lock.json, to ask implementations that share no line with ours."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.processes import spawn

HERE = Path(__file__).parent
INSTALL = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--engine-strict"]
INSTALL_S = 180.0
ANSWER_S = 60.0


class Node:
    """Runs the scripts in `folder`, where their packages are installed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ask(self, script: str, **question: Any) -> Any:
        """The JSON that a script prints for the JSON on its standard input; an error of its own fails the test."""
        done = subprocess.run(
            ["node", script],
            cwd=self._folder,
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Installed once per session, in a scratch folder: a script finds only the packages beside it."""
    if absent := [program for program in ("node", "npm") if shutil.which(program) is None]:
        pytest.skip(f"Node.js ({' and '.join(absent)}) is missing")
    folder = tmp_path_factory.mktemp("node")
    for file in (*HERE.glob("*.json"), *HERE.glob("*.mjs")):
        shutil.copy(file, folder)
    spawn("npm", INSTALL, folder=folder, cwd=folder).finish(INSTALL_S)
    return Node(folder)
