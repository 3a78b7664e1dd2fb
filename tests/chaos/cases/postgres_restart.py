import signal

from tests.chaos.case import Case
from tests.chaos.rig import say
from tests.chaos.run import Run

SHARES = (0.2, 0.4, 0.6)
"""Of all messages sent, when PostgreSQL goes."""
PATIENCE_S = 30.0


def inject(run: Run) -> None:
    for share in SHARES:
        run.order(run.messages // len(SHARES) if share != SHARES[-1] else None, patience_s=PATIENCE_S)
        run.wait_until_sent(share)
        restart(run)


def restart(run: Run) -> None:
    """Every connection is cut in the middle of whatever it did; what was not committed is rolled back."""
    postgres = run.rig.postgres
    assert postgres.process is not None
    postgres.process.stop(signal.SIGQUIT)
    postgres.start()
    say(f"PostgreSQL is back; {run.sent()} messages are sent, {run.delivered()} delivered")


CASE = Case(
    name="postgres-restart",
    sentence="PostgreSQL is shut down immediately and started again, three times, during a send and an ack storm.",
    inject=inject,
)
