"""What the cases about push services have in common: whom a fault leaves alone, and what it may cost."""

import time
from collections.abc import Callable

from tests.chaos.rig import PROVIDERS, say
from tests.chaos.run import Run

HTTP_1 = ("fcm", "wns", "web_push")
"""A connection carries one request at a time, so that a reset cuts one answer off."""
HTTP_2 = "apns"
PATIENT = {"SEND_DEADLINE_S": "10", "BATCH_BUDGET_S": "30", "TASK_LIMIT_S": "35", "LEASE_S": "60"}
"""As in production, for cases in which no send is to be cut off by a deadline on a busy machine."""
DEADLINE_S = 4.0
"""The rig's, for one send."""
LATE_S = 2.0
"""By which a busy machine may notice a deadline too late."""
NO_ANSWER = "no_answer"
UNEXPLAINED = "a.code = %s AND (a.provider <> %s OR a.started_at < %s)"
"""Unanswered elsewhere, or before: a busy machine's doing."""
SHARE_CUT = 0.1
CUTS_OF_SHARED = 2
"""About so many: a cut of APNs' one connection ends all that is in flight on it, up to 100 sends of each process,
and their repeats are paced by the retry budget."""


def wait_until_others_arrive(run: Run, *hurt: str) -> None:
    """Every message of the providers that are not hurt has its ack. `hurt` is hurt all the while."""
    run.wait_until(lambda: not waiting_elsewhere(run, *hurt), f"end of the messages that are not for {', '.join(hurt)}")


def waiting_elsewhere(run: Run, *hurt: str) -> int:
    """Messages that are not delivered though no hurt provider had them; those not yet fanned out, too."""
    missing = run.ordered - run.count("true")
    return missing + run.count(
        "status <> 'delivered' AND provider <> 'inbox' AND provider <> ALL(%s) AND fallback_from <> ALL(%s)",
        list(hurt),
        list(hurt),
    )


def hold_up(run: Run, provider: str, do: str, lasts_s: float, **more: float) -> int:
    """Half of the messages meet a service that keeps its answers back; how many requests it kept."""
    run.order(run.messages // 2)
    run.wait_until_sent(1 / 4)
    [row] = run.rig.record.rows("SELECT now() AS since")
    fault = run.rig.services.fault(provider, do, **more)
    began = time.monotonic()
    run.order()
    wait_until_met(run, fault)
    wait_until_others_arrive(run, provider)
    time.sleep(max(0.0, began + lasts_s - time.monotonic()))
    kept = run.rig.services.met(fault)
    run.rig.services.heal(fault)
    run.wait_until(lambda: unanswered(run, provider) > 0, "send that was given up")
    run.may_repeat(attempts(run, UNEXPLAINED, NO_ANSWER, provider, row["since"]))
    check_deadline(run, provider)
    say(f"{kept} answers were kept back; {unanswered(run, provider)} sends were given up")
    return kept


def cut(run: Run, do: str) -> tuple[dict[str, int], int]:
    """Connections are reset by every service: how often each did, and how many answers of HTTP/2's that cut off."""
    services, of_provider = run.rig.services, run.messages / len(PROVIDERS)
    cutting = {each: services.fault(each, do, share=SHARE_CUT) for each in HTTP_1}
    cutting[HTTP_2] = services.fault(HTTP_2, do, share=CUTS_OF_SHARED / of_provider)
    run.order()
    wait_until_all_are_taken(run)
    resets = {name: services.met(number) for name, number in cutting.items()}
    services.heal()
    cut_off = unanswered(run, HTTP_2)
    say(f"connections were reset: {resets}; {cut_off} answers of {HTTP_2} were cut off")
    if cut_off < resets[HTTP_2] or not all(resets[name] for name in HTTP_1):
        run.problem("a reset did not reach its sender")
    return resets, cut_off


def wait_until_all_are_taken(run: Run) -> None:
    """Nothing is left to be sent while the fault is still in force."""
    run.wait_until(lambda: run.count("sent_at IS NOT NULL OR status = 'delivered'") == run.messages, "end of sending")


def wait_until_met(run: Run, *numbers: int, times: int = 1) -> None:
    """Each of these faults has decided about so many requests."""
    services = run.rig.services
    run.wait_until(lambda: all(services.met(each) >= times for each in numbers), "request that meets the fault")


def attempts(run: Run, condition: str, *params: object) -> int:
    """Attempts of this run's messages that were not accepted at once, for which that is true."""
    return run.rig.record.number(
        f"""SELECT count(*) FROM delivery_deliveryattempt a JOIN push_notification_logs m ON m.id = a.push_id
            WHERE m.job_id = ANY(%s) AND ({condition})""",
        run.job_ids,
        *params,
    )


def unanswered(run: Run, provider: str) -> int:
    """Attempts that may or may not have been taken, as the record says."""
    return attempts(run, "a.provider = %s AND a.code = %s", provider, NO_ANSWER)


def check_deadline(run: Run, provider: str) -> None:
    """No send took longer than its deadline, whatever the service did."""
    slowest_ms = run.rig.record.number(
        """SELECT max(a.took_ms) FROM delivery_deliveryattempt a JOIN push_notification_logs m ON m.id = a.push_id
           WHERE m.job_id = ANY(%s) AND a.provider = %s""",
        run.job_ids,
        provider,
    )
    if slowest_ms > (DEADLINE_S + LATE_S) * 1000:
        run.problem(f"a send to {provider} took {slowest_ms} ms")


def breaker(run: Run, provider: str) -> str:
    found = run.rig.record.rows("SELECT state FROM delivery_providerstate WHERE provider = %s", provider)
    return str(found[0]["state"]) if found else "closed"


def is_open(run: Run, provider: str) -> Callable[[], bool]:
    return lambda: breaker(run, provider) != "closed"
