import time

import psycopg

from tests.chaos.case import Case
from tests.chaos.rig import say
from tests.chaos.run import Run

READ_ONLY_S = 10.0
PATIENCE_S = 60.0


def inject(run: Run) -> None:
    run.order(run.messages // 2)
    run.wait_until_sent(1 / 3)
    tell(run, "ALTER SYSTEM SET default_transaction_read_only = on")
    run.may_repeat(run.count("claim_token IS NOT NULL AND status = 'pending'"))
    say(f"PostgreSQL is read-only; {run.sent()} messages are sent, {run.delivered()} delivered")
    refused = run.rig.api.call("POST", "/jobs", {"name": "A job", "target": {"all": True}, "push_notification": PUSH})
    read = run.rig.api.call("GET", "/jobs")
    if (refused.status, read.status) != (503, 200):
        run.problem(f"an order was answered {refused.status}, a read {read.status}")
    sent = run.sent()
    time.sleep(READ_ONLY_S)
    if run.sent() != sent:
        run.problem("something was written in a read-only database")
    tell(run, "ALTER SYSTEM RESET default_transaction_read_only")
    run.order(patience_s=PATIENCE_S)


PUSH = {"title": "Never sent"}


def tell(run: Run, command: str) -> None:
    with psycopg.connect(run.rig.postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute(command.encode())
        connection.execute("SELECT pg_reload_conf()")


CASE = Case(
    name="postgres-readonly",
    sentence="PostgreSQL takes no writes for 10 s during a send and an ack storm.",
    inject=inject,
)
