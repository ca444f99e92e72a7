"""Our tables as the database has them, so that what is done to all of them also covers those that come later."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from sqlalchemy import text
from sqlalchemy.orm import Session

from tables.base import SCHEMA

_COLUMNS = text("""
    SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = :schema AND c.relkind IN ('r', 'p')
    GROUP BY c.relname HAVING bool_or(a.attname = 'organization_id')
""")
_REFERENCES = text("""
    SELECT c.relname, a.attname, t.relname, k.confdeltype = 'c', NOT a.attnotnull
    FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class t ON t.oid = k.confrelid
    CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS pair(ours, theirs)
    JOIN pg_attribute i ON i.attrelid = t.oid AND i.attnum = pair.theirs AND i.attname = 'id'
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = pair.ours
    WHERE k.contype = 'f' AND n.nspname = :schema
    ORDER BY 1, 2
""")


@dataclass(frozen=True, slots=True)
class Reference:
    """A column of `table` that holds ids of `target`; where it `cascades`, the row goes with the one it refers to."""

    table: str
    column: str
    target: str
    cascades: bool
    is_optional: bool


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tables that have an `organization_id`, each before those that it refers to, with their columns."""

    tables: tuple[str, ...]
    columns: Mapping[str, frozenset[str]]
    references: tuple[Reference, ...]

    def details_of(self, table: str) -> tuple[Reference, ...]:
        """The references by which rows belong to a row of `table`, and go with it."""
        return tuple(each for each in self.references if each.target == table and each.cascades)

    def going_with(self, table: str) -> frozenset[str]:
        """The tables whose rows go with a row of `table`, because they belong to it or to what goes with it."""
        found: set[str] = set()
        waiting = [table]
        while waiting:
            new = {each.table for each in self.details_of(waiting.pop())} - found
            found |= new
            waiting += new
        return frozenset(found)

    def users_of(self, table: str) -> tuple[Reference, ...]:
        """The references that hold a row of `table` in its place."""
        return tuple(each for each in self.references if each.target == table and not each.cascades)


def read_catalogue(session: Session) -> Catalogue:
    """The catalogue as it is now."""
    named = {"schema": SCHEMA}
    columns = {str(row[0]): frozenset(map(str, row[1])) for row in session.execute(_COLUMNS, named)}
    references = tuple(Reference(*row) for row in session.execute(_REFERENCES, named))
    return Catalogue(_referring_first(columns, references), columns, references)


def _referring_first(tables: Iterable[str], references: Iterable[Reference]) -> tuple[str, ...]:
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(sorted(tables), ()))
    for each in references:
        if each.table != each.target:
            order.add(each.target, each.table)
    return tuple(order.static_order())
