"""Keeps the children of `make run` alive with supervisord, and finds what an earlier run left behind.

Every child carries the mark RUN in its environment, with the data folder as its value: so a leftover is known as ours
whoever of its parents died, and two copies in two folders never touch each other.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from string import Template

import psutil

RUN = "HOMEPOT_RUN"
STOP_S = 60.0
"""Longer than a worker may need to finish its batch."""

HEAD = """\
[supervisord]
nodaemon = true
silent = true
umask = 077
logfile = {var}/log/supervisord.log
logfile_maxbytes = 5MB
pidfile = {var}/supervisord.pid
{user}

[unix_http_server]
file = {sockets}/supervisor.sock
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://{sockets}/supervisor.sock
"""

PROGRAM = """
[program:{name}]
command = {command}
directory = {folder}
autorestart = true
startretries = 100000
stopwaitsecs = 45
killasgroup = true
redirect_stderr = true
stdout_logfile = {var}/log/{name}.log
stdout_logfile_maxbytes = 5MB
stdout_logfile_backups = 2
"""

GROUP = """
[group:{name}]
programs = {programs}
priority = {priority}
"""


def configuration(procfile: str, env: Mapping[str, str], *, folder: Path, var: Path, sockets: Path) -> str:
    """supervisord's file for a Procfile whose `$NAME`s stand in `env`; an unknown one is a KeyError.

    Processes named `*_server` or `*_services` start first and stop last; all others start and stop together.
    """
    commands = dict(line.split(": ", 1) for line in procfile.splitlines() if line and not line.startswith("#"))
    servers = [name for name in commands if name.endswith(("_server", "_services"))]
    user = f"user = {os.geteuid()}" if os.geteuid() == 0 else ""
    parts = [HEAD.format(var=_literal(var), sockets=sockets, user=user)]
    for name, command in commands.items():
        full = _literal(Template(command).substitute(env))
        parts.append(PROGRAM.format(name=name, command=full, folder=_literal(folder), var=_literal(var)))
    parts.append(GROUP.format(name="servers", programs=",".join(servers), priority=1))
    parts.append(GROUP.format(name="homepot", programs=",".join(n for n in commands if n not in servers), priority=2))
    return "".join(parts)


def start(config: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C reaches the launcher alone, which then stops all in order."""
    command = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(config)]
    with (config.parent / "log" / "supervisord.err").open("ab") as errors:
        return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=errors, start_new_session=True)


def stop(supervisord: subprocess.Popen[bytes], var: Path) -> None:
    """Stop every child in order, then kill whatever would not go."""
    if supervisord.poll() is None:
        supervisord.send_signal(signal.SIGTERM)
        try:
            supervisord.wait(STOP_S)
        except subprocess.TimeoutExpired:
            supervisord.kill()
            supervisord.wait()
    _kill(leftovers(var))


def leftovers(var: Path) -> list[psutil.Process]:
    """What still runs of this data folder: supervisord first, if it lives."""
    mine = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(RUN) == str(var):
                mine.append(process)
        except (psutil.Error, OSError):
            continue  # another user's, or just gone
    return sorted(mine, key=lambda process: process.create_time())


def stop_leftovers(var: Path) -> float:
    """As `stop` does, for a run whose launcher was killed; returns the seconds that it took."""
    began = time.monotonic()
    with suppress(psutil.NoSuchProcess, IndexError):
        oldest = leftovers(var)[0]
        if "supervisord" in shlex.join(oldest.cmdline()):
            oldest.terminate()
            while leftovers(var) and time.monotonic() < began + STOP_S:
                time.sleep(0.2)
    _kill(leftovers(var))
    return time.monotonic() - began


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=5)


def _literal(text: object) -> str:
    """supervisord reads `%` as the start of an expansion."""
    return str(text).replace("%", "%%")
