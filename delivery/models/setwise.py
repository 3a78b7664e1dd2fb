"""Many rows in one statement: the one seam between PostgreSQL and SQLite.

Statements on the hot path are written once, in SQL that both understand; what differs is here and nowhere else.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, Self, TypeVar, cast
from uuid import UUID
from weakref import WeakSet

import psycopg
from django.db import DatabaseError, InterfaceError, OperationalError, connection, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Aggregate
from django.db.models.sql.compiler import SQLCompiler

T = TypeVar("T")
DEADLOCK = "40P01"
TOOK_TOO_LONG = "57014"
PLANS_WITHOUT_KEYS = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")

_by_key: WeakSet[psycopg.Connection[Any]] = WeakSet()

Kind = Literal["bigint", "text", "uuid", "timestamptz", "boolean"]


def rows(kinds: Mapping[str, Kind], values: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
    """A FROM item with one row per entry of `values`, and its parameters.

    `kinds` names the columns in the order in which they stand in each entry.
    """
    if connection.vendor == "postgresql":
        columns = list(zip(*values, strict=True)) if values else [()] * len(kinds)
        arrays = ", ".join(f"%s::{kind}[]" for kind in kinds.values())
        literals = [_array(kind, column) for kind, column in zip(kinds.values(), columns, strict=True)]
        return f"unnest({arrays}) AS r({', '.join(kinds)})", literals
    picked = ", ".join(f"json_extract(value, '$[{index}]') AS {name}" for index, name in enumerate(kinds))
    return f"(SELECT {picked} FROM json_each(%s)) AS r", [
        json.dumps([[to_sql(cell) for cell in row] for row in values])
    ]


def _array(kind: Kind, column: Sequence[Any]) -> str:
    """A column as PostgreSQL writes an array: a fifth of what the driver needs to adapt a list cell by cell."""
    cell_text = _ARRAY_CELLS[kind]
    return "{" + ",".join(["NULL" if cell is None else cell_text(cell) for cell in column]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_ARRAY_CELLS: Mapping[Kind, Callable[[Any], str]] = {
    "bigint": str,
    "uuid": lambda cell: str(cell.hex),
    "timestamptz": lambda cell: f'"{cell.isoformat()}"',
    "boolean": lambda cell: "t" if cell else "f",
    "text": _quoted,
}


def to_sql(cell: Any) -> Any:
    """One value as a parameter of a raw statement."""
    if connection.vendor == "postgresql":
        return cell
    if isinstance(cell, UUID):
        return cell.hex
    if isinstance(cell, datetime):
        return str(cell.astimezone(UTC).replace(tzinfo=None))
    return cell


def execute(sql: str, params: Sequence[Any], *, prepared: bool = False) -> int:
    """Run one statement; how many rows it changed."""
    with _cursor(prepared) as cursor:
        cursor.execute(sql, [to_sql(param) for param in params])
        if cursor.rowcount < 0:  # SQLite's driver does not count where the statement begins with WITH
            cursor.execute("SELECT changes()")
            return int(cursor.fetchone()[0])
        return int(cursor.rowcount)


def fetch(sql: str, params: Sequence[Any], kinds: Sequence[Kind], *, prepared: bool = False) -> list[tuple[Any, ...]]:
    """Run one statement that returns rows; `kinds` says what its columns are."""
    with _cursor(prepared) as cursor:
        cursor.execute(sql, [to_sql(param) for param in params])
        found: list[tuple[Any, ...]] = cursor.fetchall()
    if connection.vendor == "postgresql":
        return found
    return [tuple(_from_sqlite(cell, kind) for cell, kind in zip(row, kinds, strict=True)) for row in found]


def fetch_and(
    change: str, params: Sequence[Any], also: str, also_params: Sequence[Any], kinds: Mapping[str, Kind]
) -> list[tuple[Any, ...]]:
    """Run `change`, an UPDATE that returns the columns `kinds`, and `also` for what it changed: both or neither.

    `also` is an UPDATE or INSERT, and reads what was changed as `changed`. Prepared, where that is done.
    """
    if connection.vendor == "postgresql":
        both = f"WITH changed AS ({change}), also AS ({also}) SELECT {', '.join(kinds)} FROM changed"
        return fetch(both, [*params, *also_params], list(kinds.values()), prepared=True)
    with transaction.atomic():
        changed = fetch(change, params, list(kinds.values()))
        if changed:
            table, values = rows(kinds, changed)
            execute(f"WITH changed AS (SELECT * FROM {table}) {also}", [*values, *also_params])
    return changed


class _Preparing(psycopg.Cursor[Any]):
    """The server binds parameters, parses and plans each text once for a connection, and sends rows in binary."""

    def execute(self, query: Any, params: Any = None, **_: Any) -> Self:
        return super().execute(query, params, prepare=True, binary=True)


def find_by_key(only: bool) -> None:
    """From now on this thread's connection finds rows of tables by keys alone, or again however the planner likes.

    The planner thinks of a table as it was at its last ANALYZE. While it still takes a table for small, it reads all of
    it for each batch, and what is prepared keeps such a plan. A pool's connections go from hand to hand: those stay.
    Outside transactions only. A database that is away is for whoever asks next.
    """
    if connection.vendor != "postgresql" or getattr(connection, "pool", None) is not None:
        return
    try:
        if only:
            connection.ensure_connection()
        driver = connection.connection
        if driver is not None and only != (driver in _by_key):
            with connection.cursor() as cursor:
                cursor.execute("; ".join(f"SET {plan} = {'off' if only else 'on'}" for plan in PLANS_WITHOUT_KEYS))
            (_by_key.add if only else _by_key.discard)(driver)
    except (DatabaseError, InterfaceError):
        connection.close()


def _cursor(prepared: bool) -> Any:
    """`prepared` pays for long statements that run often; their text must not change from call to call."""
    if not prepared or connection.vendor != "postgresql":
        return connection.cursor()
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    driver = connection.connection
    driver.prepare_threshold = 0
    wrapped = connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    return wrapped(_Preparing(driver))  # type: ignore[arg-type]


def _from_sqlite(cell: Any, kind: Kind) -> Any:
    if cell is None:
        return None
    if kind == "uuid":
        return UUID(cell)
    if kind == "timestamptz":
        return (cell if isinstance(cell, datetime) else datetime.fromisoformat(cell)).replace(tzinfo=UTC)
    if kind == "boolean":
        return bool(cell)
    return cell


def many_write() -> bool:
    """Whether several transactions can write at a time. On SQLite a long one keeps everybody else waiting."""
    return connection.vendor == "postgresql"


def for_update_skip_locked(of: str = "") -> str:
    """Ends a sub-select that takes rows no other transaction holds. SQLite has one writer at a time and needs none."""
    return f"FOR UPDATE {'OF ' + of if of else ''} SKIP LOCKED" if connection.vendor == "postgresql" else ""


def taken(table: str, which: str) -> str:
    """A condition for an UPDATE of `table`: the rows that `which` (a WHERE and what follows it) finds and no other
    transaction holds, by the place where they lie, so that no index is asked twice."""
    if connection.vendor != "postgresql":
        return f"id IN (SELECT id FROM {table} WHERE {which})"
    return f"ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {which} {for_update_skip_locked()}))"


def most_urgent(log: str, where: str, priorities: Iterable[int], due: str) -> str:
    """A query for the ids of rows of `log` that nobody else locks, the most urgent priority first, then by `due`.

    PostgreSQL looks at one priority after the other in an index, and ends as soon as it has enough: what waits there
    for a later time is never walked over. Parameters: those of `where`, and twice the limit.
    """
    levels = [int(each) for each in priorities]
    if connection.vendor != "postgresql":
        named = ", ".join(map(str, levels))
        found = f"SELECT id FROM {log} WHERE {where} AND priority IN ({named}) ORDER BY priority, {due} LIMIT %s"
        return f"SELECT id FROM ({found}) LIMIT %s"
    values = ", ".join(f"({level})" for level in levels)
    return f"""
        SELECT found.id FROM (VALUES {values}) AS level(priority) CROSS JOIN LATERAL (
            SELECT id FROM {log} WHERE {where} AND priority = level.priority
            ORDER BY {due} LIMIT %s {for_update_skip_locked()}) AS found
        LIMIT %s"""


def returning(alias: str, *columns: str) -> str:
    """The RETURNING clause of an UPDATE that joins: PostgreSQL wants its own columns qualified, SQLite bare."""
    prefix = f"{alias}." if connection.vendor == "postgresql" else ""
    return "RETURNING " + ", ".join(prefix + column for column in columns)


def ms_between(later: str, earlier: str) -> str:
    """SQL for the whole milliseconds from one time expression to another."""
    if connection.vendor == "postgresql":
        return f"CAST(ROUND(EXTRACT(EPOCH FROM ({later} - {earlier})) * 1000) AS bigint)"
    return f"CAST(ROUND((julianday({later}) - julianday({earlier})) * 86400000) AS integer)"


def us_between(later: str, earlier: str) -> str:
    """SQL for the whole microseconds from one time expression to another: exact, where `ms_between` is quick."""
    if connection.vendor == "postgresql":
        return f"CAST(date_part('epoch', {later} - {earlier}) * 1000000 AS bigint)"
    return f"django_timestamp_diff({later}, {earlier})"


def whole_seconds(moment: str) -> str:
    """SQL for a time expression in whole seconds since 1970."""
    if connection.vendor == "postgresql":
        return f"CAST(FLOOR(date_part('epoch', {moment})) AS bigint)"
    return f"CAST(strftime('%%s', {moment}) AS integer)"


def bucket(value: str, edges: Sequence[int]) -> str:
    """SQL for how many of these ascending edges a number has reached."""
    if connection.vendor == "postgresql":  # on doubles it has a search of its own, four times as fast as on integers
        return f"width_bucket({value}::float8, '{{{','.join(map(str, edges))}}}'::float8[])"
    return _halves(value, edges, 0, len(edges))


def _halves(value: str, edges: Sequence[int], first: int, last: int) -> str:
    if first == last:
        return str(first)
    middle = (first + last) // 2
    lower, upper = _halves(value, edges, first, middle), _halves(value, edges, middle + 1, last)
    return f"CASE WHEN {value} < {edges[middle]} THEN {lower} ELSE {upper} END"


class Held(Aggregate):
    """Keeps the values of a group, in no order, for `each` to read again."""

    function = "ARRAY_AGG"
    output_field = models.TextField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function="JSON_GROUP_ARRAY", **context)


def each(held_values: str) -> str:
    """A FROM item with one row, `value`, for each that is held."""
    return f"unnest({held_values})" if connection.vendor == "postgresql" else f"json_each({held_values})"


def json_list(numbers: str) -> str:
    """SQL for the numbers of a group as a JSON list."""
    return f"jsonb_agg({numbers})" if connection.vendor == "postgresql" else f"json_group_array({numbers})"


def json_each(numbers: str, alias: str) -> tuple[str, str]:
    """A FROM item with one row for each number of a JSON list, and the expression for the number."""
    if connection.vendor == "postgresql":
        return f"LATERAL jsonb_array_elements_text({numbers}) AS {alias}(value)", f"{alias}.value::bigint"
    return f"json_each({numbers}) AS {alias}", f"{alias}.value"


def joined(text: str) -> str:
    """SQL for the texts of a group with commas between them."""
    return f"string_agg({text}, ',')" if connection.vendor == "postgresql" else f"group_concat({text}, ',')"


def as_json(text: str) -> str:
    """SQL that makes a JSON value of a text expression."""
    return f"{text}::jsonb" if connection.vendor == "postgresql" else text


def again_on_deadlock(write: Callable[[], T], tries: int = 3) -> T:
    """Run `write` (a whole transaction), again where the database broke a deadlock by cancelling it."""
    for _ in range(tries - 1):
        try:
            return write()
        except OperationalError as error:
            if connection.in_atomic_block or getattr(error.__cause__, "sqlstate", "") != DEADLOCK:
                raise
    return write()


def within_ms(limit_ms: int, ask: Callable[[], T]) -> T | None:
    """The answer to a question; None where the database needs longer. (SQLite may take its time: it is small.)"""
    if connection.vendor != "postgresql":
        return ask()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout')")
            [before] = cursor.fetchone()
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(limit_ms)])
            answer = ask()
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])
            return answer
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != TOOK_TOO_LONG:
            raise
        return None


def moment() -> str:
    """SQL for one time parameter, so that its type is known where nothing else tells it."""
    return "%s::timestamptz" if connection.vendor == "postgresql" else "%s"


def now() -> datetime:
    """The database's clock. SQLite has none of its own: it runs inside this process."""
    if connection.vendor != "postgresql":
        return datetime.now(UTC)
    [(found,)] = fetch("SELECT clock_timestamp()", [], ["timestamptz"], prepared=True)
    return cast("datetime", found)
