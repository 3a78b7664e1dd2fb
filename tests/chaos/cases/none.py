from tests.chaos.case import Case
from tests.chaos.run import Run


def inject(run: Run) -> None:
    run.order()


CASE = Case(name="none", sentence="No fault: every message arrives, and once.", inject=inject)
