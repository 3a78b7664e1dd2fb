from collections import deque

import psutil

from tests.chaos.case import Case
from tests.chaos.rig import say
from tests.chaos.run import Run
from tests.journey.storm import Ask, Storm, always, sent_messages, single_acks

FLOOD_S = 30.0
ACKING, REGISTERING, READING = 100, 50, 200
"""Clients that ask again as soon as they were answered: ten times what the web can do, of each kind."""
STORM_ACKS = 60_000
LARGEST_GROWTH = 1.5
CLEAN = {200, 201, 429, 503}


def inject(run: Run) -> None:
    storm = flood(run)
    before = memory_bytes(run)
    run.order(run.messages // 2, patience_s=FLOOD_S)
    with storm.blowing(FLOOD_S):
        run.order(patience_s=2 * FLOOD_S)  # the least urgent: what comes of it may come when the flood is over
        run.wait_until(lambda: storm.blown_s >= FLOOD_S, "end of the flood")
    tell(storm)
    judge(run, storm)
    growth = {name: after / before[name] for name, after in memory_bytes(run).items()}
    say("memory: " + ", ".join(f"{name} x{factor:.2f}" for name, factor in growth.items()))
    if grown := [name for name, factor in growth.items() if factor > LARGEST_GROWTH]:
        run.problem(f"memory of {', '.join(grown)} grew")


def flood(run: Run) -> Storm:
    production = run.rig.production
    bearer = {"Authorization": f"Bearer {(run.rig.folder / 'api-key').read_text(encoding='utf-8').strip()}"}
    device_id = run.rig.device_ids[0]
    site = f"/api/v1/devices/{device_id}/channels/simulation"
    storm = Storm(production.url)
    storm.add(ACKING, single_acks(deque(sent_messages(production.database_url, STORM_ACKS))))
    storm.add(REGISTERING, always(Ask("registration", "PUT", site, {"address": "flood"}, bearer)))
    storm.add(READING, always(Ask("read", "GET", "/api/v1/devices", headers=bearer)))
    return storm


def judge(run: Run, storm: Storm) -> None:
    shares = {kind: storm.refused_share(kind) for kind in ("ack", "registration", "read")}
    if min(shares, key=lambda kind: shares[kind]) != "ack":
        run.problem(f"acks were not the last to be refused: {shares}")
    if unclean := {said.status for said in storm.said} - CLEAN:
        run.problem(f"the flood was answered {sorted(unclean)}")
    if any(said.status in (429, 503) and not said.retry_after for said in storm.said):
        run.problem("a refusal without Retry-After")
    rows = run.rig.record.rows("SELECT message_id::text AS id FROM push_notification_logs WHERE status = 'delivered'")
    if missing := storm.acknowledged() - {row["id"] for row in rows}:
        run.problem(f"{len(missing)} acks of the flood were answered 200 and are missing")


def tell(storm: Storm) -> None:
    for kind in ("ack", "registration", "read"):
        took_ms = sorted(said.took_s * 1000 for said in storm.said if said.kind == kind and said.status in (200, 201))
        p99 = f"p99 {took_ms[int(len(took_ms) * 0.99)]:.0f} ms" if took_ms else "none served"
        say(f"{kind}: {dict(storm.statuses(kind))}, {p99}")


def memory_bytes(run: Run) -> dict[str, int]:
    """Of each process of the product, with its children."""
    found = {}
    for name, process in run.rig.production.processes.items():
        leader = psutil.Process(process.pid)
        found[name] = sum(each.memory_info().rss for each in [leader, *leader.children(recursive=True)])
    return found


CASE = Case(
    name="overload",
    sentence="Ten times the acks, registrations and reads that the web can serve come for 30 s.",
    inject=inject,
    settings={"RATE_LIMIT_FACTOR": "10000"},
)
