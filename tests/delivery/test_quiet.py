"""What keeps callers from waiting for a server that does not answer."""

import time

from delivery.quiet import Quiet


def test_everybody_may_ask_while_all_is_well() -> None:
    quiet = Quiet(60)

    assert [quiet.may_ask(), quiet.may_ask()] == [True, True]


def test_nobody_asks_for_a_while_after_a_failure() -> None:
    quiet = Quiet(60)

    quiet.failed()

    assert not quiet.may_ask()


def test_then_one_tries_and_the_others_do_not_wait_for_it() -> None:
    quiet = Quiet(0.05)
    quiet.failed()
    time.sleep(0.06)

    assert [quiet.may_ask(), quiet.may_ask()] == [True, False]


def test_everybody_may_ask_again_once_one_was_answered() -> None:
    quiet = Quiet(60)
    quiet.failed()

    quiet.worked()

    assert [quiet.may_ask(), quiet.may_ask()] == [True, True]
