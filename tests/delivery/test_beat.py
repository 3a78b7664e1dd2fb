"""Beat that is told to end at an awkward moment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.beat import ScheduleEntry
from celery.schedules import schedule

from celery_app import app
from delivery.beat import Beat


@pytest.fixture
def beat(tmp_path: Path) -> Iterator[Beat]:
    beat = Beat(app=app, schedule_filename=str(tmp_path / "schedule"))
    yield beat
    beat.close()


def test_told_to_end_while_it_gives_a_task_it_ends_with_the_next_tick(
    beat: Beat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        try:
            beat.close()  # as Celery's handler of the signal does
            raise SystemExit
        finally:
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr(beat, "send_task", interrupted)
    beat.apply_entry(ScheduleEntry(name="often", task="somewhere.else", schedule=schedule(7_200.0), app=app))

    with pytest.raises(SystemExit):
        beat.tick()
