import pytest
from django.db import connection

from analytics.latency import EDGES_MS, bucket
from delivery.models import setwise


@pytest.mark.django_db
def test_the_database_places_a_value_where_python_does() -> None:
    values = sorted({0, 10**15, *(edge + step for edge in EDGES_MS for step in (-1, 0, 1))})
    table, params = setwise.rows({"value": "bigint"}, [(value,) for value in values])

    placed = setwise.fetch(
        f"SELECT value, {setwise.bucket('value', EDGES_MS)} FROM {table} ORDER BY value", params, ["bigint", "bigint"]
    )

    assert placed == [(value, bucket(value)) for value in values]


@pytest.mark.postgres_only
@pytest.mark.django_db
def test_a_question_that_takes_too_long_has_no_answer() -> None:
    assert setwise.within_ms(50, lambda: _ask("SELECT 1 FROM pg_sleep(60)")) is None
    assert setwise.within_ms(60_000, lambda: _ask("SELECT 1")) == 1


@pytest.mark.postgres_only
@pytest.mark.django_db
def test_a_question_leaves_the_time_for_others_as_it_was() -> None:
    before = _ask("SHOW statement_timeout")

    setwise.within_ms(60_000, lambda: _ask("SELECT 1"))

    assert _ask("SHOW statement_timeout") == before


def _ask(sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]
