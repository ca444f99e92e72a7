"""Upserts of many rows in one statement.

The rows travel as one JSON parameter: a multi-row VALUES spends ten times as long on its placeholders.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, ColumnElement, Table, bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import KeyedColumnElement

Row = Mapping[str, object]
Columns = ReadOnlyColumnCollection[str, KeyedColumnElement[Any]]
_BATCH = 5_000  # rows a statement


def upsert(
    session: Session,
    table: Table,
    rows: Sequence[Row],
    *,
    key: Sequence[str],
    keep: Sequence[str],
    unless: Callable[[Columns], ColumnElement[bool]],
) -> int:
    """The number of rows that were new or changed.

    All rows have the same columns, with values that JSON knows, and differ in `key`, which is unique in the table.
    A row that is there already keeps its `key` and `keep` columns, and stays as it is where `unless` holds for the
    columns offered to it.
    """
    if not rows:
        return 0
    names = list(rows[0])
    row_type: ColumnElement[object] = literal_column(f"NULL::{table.fullname}")
    given = func.json_populate_recordset(row_type, bindparam("rows", type_=JSON)).table_valued(*names)
    row = insert(table).from_select(names, select(*(given.c[name] for name in names)))
    statement = row.on_conflict_do_update(
        index_elements=key,
        set_={name: row.excluded[name] for name in names if name not in {*key, *keep}},
        where=~unless(row.excluded),
    ).returning(table.c.id)
    batches = (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))
    return sum(len(session.execute(statement, {"rows": batch}).all()) for batch in batches)
