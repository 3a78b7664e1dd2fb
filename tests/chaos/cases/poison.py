import json
import os
import tomllib
from pathlib import Path

from tests.chaos.case import Case
from tests.chaos.cases.worker_kill import EXTRA_SENDS_PER_PROCESS
from tests.chaos.rig import say
from tests.chaos.run import Run
from tests.journey.production import PYTHON
from tests.processes import ROOT, spawn

KILLER = "killer_fcm"
POISON = "Poison"
POISONED = 2
DEATHS_ALONE = 3
DEATH = "exited with 'signal 9 (SIGKILL)'"
ENDED_S = 180.0
PACKAGES = str(ROOT / "tests" / "journey" / "packages")


def inject(run: Run) -> None:
    """Poisoned messages go to tills that nobody simulates, so that no inbox gets them in time."""
    teach_killer(run)
    run.order(run.messages // 2)
    run.order_for([poisoned_till(run, number) for number in range(POISONED)], title=POISON)
    run.order()
    run.allowed.failed = POISONED
    start_worker(run)
    run.wait_until(lambda: run.count("status = 'failed'") == POISONED, "end of the poisoned messages", ENDED_S)
    ends = run.count("error_code = 'poison' AND lost_claims = %s AND sent_at IS NULL", DEATHS_ALONE)
    if ends != POISONED:
        run.problem(f"{ends} messages ended as poison after {DEATHS_ALONE} deaths alone, not {POISONED}")
    deaths = run.rig.process(KILLER).output().count(DEATH)
    in_batches = deaths - DEATHS_ALONE * POISONED
    run.may_repeat(in_batches * EXTRA_SENDS_PER_PROCESS)
    say(f"{deaths} deaths, {in_batches} of them with others in the batch")


def teach_killer(run: Run) -> None:
    """FCM's devices get their messages through the killer, with FCM's credential."""
    file = run.rig.services.credentials_file
    config = tomllib.loads(file.read_text(encoding="utf-8"))["fcm"]["default"]
    lines = [f"[{KILLER}.default]", *(f"{key} = {json.dumps(value)}" for key, value in config.items())]
    with file.open("a", encoding="utf-8") as more:
        more.write("\n" + "\n".join(lines) + "\n")
    run.rig.record.execute("UPDATE delivery_channel SET provider = %s WHERE provider = 'fcm'", KILLER)


def poisoned_till(run: Run, number: int) -> str:
    key = (run.rig.folder / "bootstrap-key").read_text(encoding="utf-8").strip()
    till = run.rig.api.provision("site-001", key, f"Poisoned till {number}")
    answer = till.call("PUT", f"/devices/{till.device_id}/channels/{KILLER}", {"address": f"poisoned-{number}" * 10})
    if answer.status not in (200, 201):
        run.problem(f"the poisoned till was answered {answer}")
    return till.device_id


def start_worker(run: Run) -> None:
    """As the Procfile's other workers."""
    command: list[str | Path] = [PYTHON.parent / "celery", "-A", "celery_app", "worker", "--queues", f"push.{KILLER}"]
    command += ["--concurrency", "2", "--without-mingle", "--without-gossip", "--hostname", f"{KILLER}@%h"]
    production = run.rig.production
    production.processes[KILLER] = spawn(KILLER, command, folder=run.rig.folder, env=production.env)


CASE = Case(
    name="poison",
    sentence="Two payloads kill each process that renders them: they fail as poison, all others are delivered.",
    inject=inject,
    settings={"PYTHONPATH": os.pathsep.join(filter(None, [PACKAGES, os.environ.get("PYTHONPATH")]))},
)
