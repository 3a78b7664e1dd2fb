"""Beat that is told to end at an awkward moment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from delivery.beat import Beat


@pytest.fixture
def beat(tmp_path: Path) -> Iterator[Beat]:
    app = Celery(broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {"often": {"task": "delivery.rehint", "schedule": 7_200.0}}
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
    beat.apply_entry(beat.schedule["often"])

    with pytest.raises(SystemExit):
        beat.tick()
