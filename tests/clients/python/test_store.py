"""What survives a kill, a torn line and a full disk."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from homepot_agent.journal import SMALLEST_REWRITE_BYTES, Journal
from homepot_agent.store import Arrival, Store
from homepot_agent.wire import Ack, Command, Message
from tests.journey.small_disk import NoSmallDisk, small_disk

KILLED = """
import os, signal, sys
from pathlib import Path
from homepot_agent.journal import Journal
from homepot_agent.store import Store
from homepot_agent.wire import Message

store = Store(Journal(Path(sys.argv[1]), lambda: False))
for number in range(1_000_000):
    store.receive(Message(f"m-{number}", {"title": "x" * 200, "ack_token": "t"}), float(number))
    print(number, flush=True)
"""


def a_store(folder: Path) -> Store:
    return Store(Journal(folder / "journal", lambda: False))


def a_message(number: int) -> Message:
    return Message(f"m-{number}", {"title": f"number {number}", "ack_token": f"token-{number}"})


@contextmanager
def files_end_at(size_bytes: int) -> Iterator[None]:
    """No file of this process grows past that: writes fail as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_message_is_new_once_and_its_ack_stays_owed_over_a_restart(tmp_path: Path) -> None:
    first = a_store(tmp_path)
    first.receive(a_message(1), 100.0)
    first.close()

    second = a_store(tmp_path)

    assert second.receive(a_message(1), 200.0) is Arrival.DUPLICATE
    assert second.owed(10) == [Ack("m-1", 100.0, "token-1")]
    assert second.next_message() == (a_message(1), True)


def test_a_duplicate_of_what_was_acked_is_acked_again_at_its_first_time(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.receive(a_message(1), 100.0)
    store.confirmed(store.owed(10))

    arrival = store.receive(a_message(1), 200.0)

    assert arrival is Arrival.DUPLICATE
    assert [ack.at_s for ack in store.owed(10)] == [100.0]


def test_what_the_host_program_is_done_with_is_not_repeated(tmp_path: Path) -> None:
    first = a_store(tmp_path)
    first.receive(a_message(1), 1.0)
    first.receive(a_message(2), 2.0)
    first.handled("m-1")
    first.confirmed(first.owed(1))
    first.close()

    second = a_store(tmp_path)

    assert second.next_message() == (a_message(2), True)
    assert [ack.message_id for ack in second.owed(10)] == ["m-2"]


def test_a_host_program_that_is_far_behind_gets_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homepot_agent.store.MOST_UNHANDLED", 20)
    store = a_store(tmp_path)

    arrivals = [store.receive(a_message(number), 1.0) for number in range(21)]

    assert arrivals == [*[Arrival.NEW] * 20, Arrival.LATER]
    assert len(store.owed(100)) == 20


def test_a_kill_in_the_middle_of_a_stream_loses_nothing_that_was_said_to_be_taken(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "journal")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with child:
        assert child.stdout is not None
        for _ in range(500):
            taken = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split()
    taken = max([taken, *(int(line) for line in rest[:-1])])

    store = a_store(tmp_path)

    owed = {ack.message_id for ack in store.owed(10**6)}
    assert {f"m-{number}" for number in range(taken + 1)} <= owed
    assert len(owed) <= taken + 3


@pytest.mark.parametrize("cut", [1, 7, 30])
def test_a_torn_last_line_is_cut_off_and_the_rest_holds(tmp_path: Path, cut: int) -> None:
    store = a_store(tmp_path)
    store.receive(a_message(1), 1.0)
    store.receive(a_message(2), 2.0)
    store.close()
    file = tmp_path / "journal"
    file.write_bytes(file.read_bytes()[:-cut])

    again = a_store(tmp_path)
    again.receive(a_message(3), 3.0)
    again.close()

    assert [ack.message_id for ack in a_store(tmp_path).owed(10)] == ["m-1", "m-3"]


def test_a_damaged_line_costs_itself_alone(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    for number in range(3):
        store.receive(a_message(number), 1.0)
    store.close()
    file = tmp_path / "journal"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1].replace(b"number 1", b"number 9") + lines[2])

    journal = Journal(file, lambda: False)
    store = Store(journal)

    assert journal.damaged == 1
    assert [ack.message_id for ack in store.owed(10)] == ["m-0", "m-2"]


def test_a_full_disk_keeps_nothing_from_being_taken_and_holds_its_ack_back(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.receive(a_message(1), 1.0)

    with files_end_at((tmp_path / "journal").stat().st_size + 10):
        arrival = store.receive(a_message(2), 2.0)
        full, owed_before = store.disk_full, [ack.message_id for ack in store.owed(10)]
        store.handled("m-2")
        owed_after = [ack.message_id for ack in store.owed(10)]

    assert (arrival, full) == (Arrival.NEW, True)
    assert (owed_before, owed_after) == (["m-1"], ["m-1", "m-2"])


def test_what_a_full_disk_refused_is_written_down_when_there_is_room(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    with files_end_at(10):
        for number in range(3):
            store.receive(a_message(number), 1.0)

    store.catch_up()
    store.close()

    assert not store.disk_full
    assert [ack.message_id for ack in a_store(tmp_path).owed(10)] == ["m-0", "m-1", "m-2"]


def test_a_command_that_cannot_be_written_down_is_not_begun(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.order(Command("c-1", "restart"))

    with files_end_at(10):
        begun = store.started("c-1")

    assert not begun


def test_telemetry_makes_room_for_what_matters_more(tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk", size_mb=1) as disk:
            telemetry = [tmp_path / "disk" / f"batch-{number}" for number in range(2)]
            for file in telemetry:
                file.write_bytes(b"x" * 8192)

            def make_room() -> bool:
                if not telemetry:
                    return False
                telemetry.pop(0).unlink()
                return True

            store = Store(Journal(tmp_path / "disk" / "journal", make_room))
            disk.fill()
            arrival = store.receive(a_message(1), 1.0)
            left, full = len(telemetry), store.disk_full
            store.close()
    except NoSmallDisk as reason:
        pytest.skip(str(reason))

    assert (arrival, full, left) == (Arrival.NEW, False, 1)


def test_a_long_journal_is_rewritten_and_says_the_same(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    number = 0
    while (tmp_path / "journal").stat().st_size <= SMALLEST_REWRITE_BYTES:
        number += 1
        store.receive(Message(f"m-{number}", {"title": "x" * 4_000}), 1.0)
        store.handled(f"m-{number}")
        store.confirmed(store.owed(1))
    store.receive(a_message(0), 7.0)

    store.catch_up()
    store.close()

    again = a_store(tmp_path)
    assert (tmp_path / "journal").stat().st_size < SMALLEST_REWRITE_BYTES / 10
    assert again.owed(10) == [Ack("m-0", 7.0, "token-0")]
    assert again.next_message() == (a_message(0), True)
    assert again.receive(Message("m-1", {}), 8.0) is Arrival.DUPLICATE


def test_an_acked_message_that_is_not_handled_is_not_owed_again_after_a_rewrite(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.receive(a_message(1), 1.0)
    store.confirmed(store.owed(1))

    rewritten = Journal(tmp_path / "copy", lambda: False)
    list(rewritten.open())
    rewritten.rewrite(store._memory.snapshot())

    again = Store(Journal(tmp_path / "copy", lambda: False))
    assert again.owed(10) == []
    assert again.next_message() == (a_message(1), True)
