"""SPARQL queries with bounds on time, memory and size, run in a process of their own that can be killed.

The process gets the organisation's triples on its standard input and nothing else: no environment, no database, no
network of ours. It can therefore read nothing but them, whatever the query says.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from knowledge.errors import InputRefused, KnowledgeError

MAX_QUERY_CHARACTERS = 100_000
_READ_LIMIT = 2**20


class QueryRefused(InputRefused):
    """A query that does not parse, changes data, or asks for something that is not offered."""


class QueryTooLarge(KnowledgeError):
    """A query whose time, memory or result passes its bound."""


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """What a query may take."""

    seconds: float = 10.0
    rows: int = 10_000
    result_bytes: int = 10_000_000
    memory_bytes: int = 2_000_000_000
    inferred: int = 1_000_000


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A result: `kind` is solutions, boolean or triples.

    A solution is a tuple of terms in N-Triples syntax (None where unbound) in the order of `variables`, a triple one
    of three. `inferred` says of each row whether it rests on facts that only the ontology implies; `cut_off` whether
    there were more rows.
    """

    kind: str
    variables: tuple[str, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    inferred: tuple[bool, ...] = ()
    boolean: bool | None = None
    boolean_inferred: bool = False
    cut_off: bool = False

    def as_json(self) -> dict[str, object]:
        """The object that `query --json` prints."""
        if self.kind == "boolean":
            return {"kind": self.kind, "boolean": self.boolean, "inferred": self.boolean_inferred}
        rows = [
            {"values": list(row), "inferred": inferred} for row, inferred in zip(self.rows, self.inferred, strict=True)
        ]
        return {"kind": self.kind, "variables": list(self.variables), "rows": rows, "cut_off": self.cut_off}

    def lines(self) -> Iterator[str]:
        """The same for people: tab-separated, terms as N-Triples writes them; what is inferred says so."""
        if self.kind == "boolean":
            yield f"{str(self.boolean).lower()}{_INFERRED if self.boolean_inferred else ''}"
            return
        yield "\t".join(self.variables)
        for row, inferred in zip(self.rows, self.inferred, strict=True):
            yield "\t".join(term or "" for term in row) + (_INFERRED if inferred else "")
        if self.cut_off:
            yield f"(cut off after {len(self.rows)} rows)"


_INFERRED = "\t# inferred"


async def run_query(
    query: str, facts: bytes, ontologies: Sequence[tuple[str, bytes]], *, inference: bool, limits: QueryLimits
) -> QueryResult:
    """The result over `facts` (N-Quads), with what the ontologies (file name and content) imply if `inference`.

    Raises:
        QueryRefused: the query does not parse, is an update, or uses SERVICE.
        QueryTooLarge: a bound was passed; the process is gone.
    """
    _refuse_at_sight(query)
    header = {
        "query": query,
        "inference": inference,
        "limits": asdict(limits),
        "facts": len(facts),
        "ontologies": [[name, len(content)] for name, content in ontologies],
    }
    given = b"".join([json.dumps(header).encode(), b"\n", facts, *(content for _, content in ontologies)])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        "knowledge.queries.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        limit=_READ_LIMIT,
    )
    try:
        async with asyncio.timeout(limits.seconds):
            output, _ = await process.communicate(given)
    except TimeoutError as error:
        raise QueryTooLarge(f"the query took longer than {limits.seconds:g} s and was stopped") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _result(output, limits)


# Strings, IRIs, comments, variables, and the local parts of prefixed names: where "service" is no keyword.
_HARMLESS = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""|\'\'\'(?:[^\'\\]|\\.|\'(?!\'\'))*\'\'\'|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\''
    r"|<[^<>\"{}|^`\\\x00-\x20]*>|#[^\n]*|[?$]\w+|:[\w.%-]*"
)


def _refuse_at_sight(query: str) -> None:
    """Says clearly what would fail anyway: the process that runs queries can reach nobody."""
    if len(query) > MAX_QUERY_CHARACTERS:
        raise QueryRefused(f"the query has {len(query)} characters: ask in at most {MAX_QUERY_CHARACTERS}")
    if re.search("service", _HARMLESS.sub(" ", query), re.IGNORECASE):
        raise QueryRefused("the query uses SERVICE: queries are about this organisation's graph only")


def _result(output: bytes, limits: QueryLimits) -> QueryResult:
    try:
        said: dict[str, Any] = json.loads(output)
    except ValueError as error:
        raise QueryTooLarge(
            f"the query ended its process, for want of memory it seems: it may take {limits.memory_bytes // 10**6} MB"
        ) from error
    if "refused" in said:
        raise QueryRefused(said["refused"])
    if "too_large" in said:
        raise QueryTooLarge(said["too_large"])
    return QueryResult(
        kind=said["kind"],
        variables=tuple(said.get("variables", ())),
        rows=tuple(tuple(row) for row in said.get("rows", ())),
        inferred=tuple(said.get("inferred", ())),
        boolean=said.get("boolean"),
        boolean_inferred=bool(said.get("boolean_inferred")),
        cut_off=bool(said.get("cut_off")),
    )
