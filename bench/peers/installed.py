"""The peers' own packages, installed on demand into var/peers; what cannot be installed is said once, in one line."""

import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bench.progress import tell
from tests.processes import ROOT

HERE = Path(__file__).parent
FOLDER = ROOT / "var" / "peers"
INSTALL_S = 600.0
NPM_CI = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--engine-strict")


@cache
def python() -> Path | None:
    """The interpreter with the packages of requirements.txt; None where they cannot be had."""
    folder, wanted = FOLDER / "python", HERE / "requirements.txt"
    interpreter = folder / "bin" / "python"
    if _is_ready(folder, wanted):
        return interpreter
    tell("Python packages of the peers into var/peers (once) ...")
    venv.create(folder, clear=True, with_pip=True)
    pip = (interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", wanted)
    return interpreter if _installed(pip, folder, wanted) else None


@cache
def node() -> Path | None:
    """The folder with our scripts for Node.js beside the packages of package-lock.json; None where it cannot be had."""
    if not all(map(on_path, ("node", "npm"))):
        return None
    folder, wanted = FOLDER / "node", HERE / "package-lock.json"
    if not _is_ready(folder, wanted):
        tell("Node.js packages of the peers into var/peers (once) ...")
        folder.mkdir(parents=True, exist_ok=True)
        for file in (HERE / "package.json", wanted):
            shutil.copy(file, folder)
        if not _installed(NPM_CI, folder, wanted):
            return None
    for script in HERE.glob("*.mjs"):  # a script finds only the packages beside it
        shutil.copy(script, folder)
    return folder


@cache
def on_path(program: str) -> bool:
    """Whether this machine has a program; said once where it has not."""
    found = shutil.which(program) is not None
    if not found:
        tell(f"not here: {program} (Debian: {DEBIAN[program]})")
    return found


DEBIAN = {"node": "nodejs", "npm": "npm", "h2load": "nghttp2-client"}


def _installed(command: Sequence[str | Path], folder: Path, wanted: Path) -> bool:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        tell(f"not here: {wanted.name} took more than {INSTALL_S:.0f} s to install")
        return False
    if done.returncode != 0:
        last = (done.stderr.strip() or "no reason given").splitlines()[-1]
        tell(f"not here: what {wanted.name} names ({last})")
        return False
    (folder / "ready").write_text(_stamp(wanted), encoding="ascii")
    return True


def _is_ready(folder: Path, wanted: Path) -> bool:
    ready = folder / "ready"
    return ready.exists() and ready.read_text(encoding="ascii") == _stamp(wanted)


def _stamp(wanted: Path) -> str:
    """Of the pinned packages and the interpreter that they were installed for."""
    return hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()
