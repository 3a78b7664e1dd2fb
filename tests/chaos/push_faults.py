"""What the cases about push services have in common: whom a fault leaves alone, and what it may cost."""

from collections.abc import Callable

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
