"""The process that runs one query: a header line and triples on standard input, one JSON object on standard output.

pyoxigraph asks other servers when a query says SERVICE. Here it cannot: the process may open no further file or
socket, whatever the query says and however it is spelt.
"""

import json
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from pyoxigraph import NamedNode, Quad, QueryBoolean, QuerySolutions, RdfFormat, Store, Triple

from knowledge.ontology import ontology_quads
from knowledge.queries.inference import Axioms, Fact, TooMuchInferredError, infer

INFERRED = NamedNode("urn:knowledge:inferred")
"""The graph of what the ontology implies."""
Row = tuple[str | None, ...]


class _Refused(Exception):
    pass


def main() -> None:
    """Read, run, print."""
    given = sys.stdin.buffer
    header: dict[str, Any] = json.loads(given.readline())
    facts = given.read(header["facts"])
    # Text codecs are files to Python: ontologies are read before no file can be opened any more.
    ontology = [quad for name, size in header["ontologies"] for quad in ontology_quads(given.read(size), name)]
    _confine(header["limits"]["memory_bytes"], header["limits"]["seconds"])
    try:
        said = _run(header, facts, ontology)
    except _Refused as error:
        said = {"refused": str(error)}
    except TooMuchInferredError as error:
        said = {"too_large": str(error)}
    except MemoryError:
        said = {"too_large": "the query takes more memory than it may"}
    sys.stdout.write(json.dumps(said))


def _confine(memory_bytes: int, seconds: float) -> None:
    """No descriptor beyond the standard three, no more memory, and an end also when nobody is left to stop it."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    cpu_seconds = int(seconds) + 1
    for kind, bound in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, cpu_seconds)):
        with suppress(ValueError, OSError):  # a lower bound is set already
            resource.setrlimit(kind, (bound, bound))


def _run(header: dict[str, Any], facts: bytes, ontology: list[Quad]) -> dict[str, Any]:
    limits: dict[str, int] = header["limits"]
    store = Store()
    store.bulk_load(facts, RdfFormat.N_QUADS)
    if not header["inference"]:
        return _said(_asked(store, header["query"]), limits, None)
    asserted = _asked(store, header["query"])
    known = asserted.boolean if asserted.boolean is not None else Counter(map(hash, asserted.rows))
    store.extend(Quad(*fact, INFERRED) for fact in infer(_facts(store), Axioms.of(ontology), limits["inferred"]))
    return _said(_asked(store, header["query"]), limits, known)


def _facts(store: Store) -> Iterator[Fact]:
    return (cast(Fact, (quad.subject, quad.predicate, quad.object)) for quad in store)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query's result as it comes out of the store."""

    kind: str
    variables: list[str]
    rows: Iterator[Row]
    boolean: bool | None = None


def _asked(store: Store, query: str) -> _Asked:
    try:
        found = store.query(query, use_default_graph_as_union=True)
    except SyntaxError as error:
        raise _Refused(f"the query cannot be read: {error}") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise _Refused(f"the query cannot be run: {error}") from error
    if isinstance(found, QueryBoolean):
        return _Asked("boolean", [], iter(()), bool(found))
    if isinstance(found, QuerySolutions):
        solutions = (tuple(None if term is None else str(term) for term in solution) for solution in found)
        # By name, not "?name", in the order of SELECT.
        return _Asked("solutions", [variable.value for variable in found.variables], _running(solutions))
    triples = ((str(t.subject), str(t.predicate), str(t.object)) for t in cast(Iterator[Triple], found))
    return _Asked("triples", ["subject", "predicate", "object"], _running(triples))


def _running(rows: Iterator[Row]) -> Iterator[Row]:
    try:
        yield from rows
    except (OSError, RuntimeError, ValueError) as error:
        raise _Refused(f"the query cannot be run: {error}") from error


def _said(asked: _Asked, limits: dict[str, int], known: bool | Counter[int] | None) -> dict[str, Any]:
    """The result; with what is `known` without inference, each row (or the boolean) is marked that is not."""
    if asked.boolean is not None:
        inferred = known is not None and asked.boolean != known
        return {"kind": asked.kind, "boolean": asked.boolean, "boolean_inferred": inferred}
    rows, cut_off = _bounded(asked.rows, limits)
    marks = [False] * len(rows)
    if isinstance(known, Counter):
        for n, row in enumerate(rows):
            marks[n] = known[hash(row)] <= 0
            known[hash(row)] -= 1
    return {"kind": asked.kind, "variables": asked.variables, "rows": rows, "inferred": marks, "cut_off": cut_off}


def _bounded(rows: Iterator[Row], limits: dict[str, int]) -> tuple[list[Row], bool]:
    """As many rows as may be, and whether there are more."""
    kept: list[Row] = []
    size = 0
    for row in rows:
        size += sum(len(term) for term in row if term) + 8
        if len(kept) == limits["rows"] or size > limits["result_bytes"]:
            return kept, True
        kept.append(row)
    return kept, False


if __name__ == "__main__":
    main()
