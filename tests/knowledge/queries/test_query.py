"""SPARQL in a process of its own: read-only, bounded, cut off from everything but the triples."""

import socket

import pytest

from knowledge.queries.query import QueryLimits, QueryRefused, QueryResult, QueryTooLarge, run_query

FACTS = b"""<urn:a> <urn:partOf> <urn:b> <urn:g> .
<urn:b> <urn:partOf> <urn:c> <urn:g> .
<urn:a> <http://www.w3.org/2000/01/rdf-schema#label> "A \\"service\\"" <urn:g> .
"""
ONTOLOGY = b"<urn:partOf> a <http://www.w3.org/2002/07/owl#TransitiveProperty> ."


async def _run(query: str, *, inference: bool = False, limits: QueryLimits | None = None) -> QueryResult:
    return await run_query(query, FACTS, [("o.ttl", ONTOLOGY)], inference=inference, limits=limits or QueryLimits())


async def test_select_gives_terms_in_the_order_of_its_variables() -> None:
    """Programs read the rows as they asked for them; all named graphs are one."""
    result = await _run("SELECT ?o ?s WHERE { ?s <urn:partOf> ?o } ORDER BY ?s")
    assert result.variables == ("o", "s")
    assert result.rows == (("<urn:b>", "<urn:a>"), ("<urn:c>", "<urn:b>"))
    assert result.inferred == (False, False)


async def test_rows_that_only_the_ontology_gives_are_marked() -> None:
    """Inference is a switch, and what it adds is never mistaken for what documents say."""
    query = "SELECT ?s ?o WHERE { ?s <urn:partOf> ?o } ORDER BY ?s ?o"
    assert len((await _run(query)).rows) == 2
    result = await _run(query, inference=True)
    marked = dict(zip(result.rows, result.inferred, strict=True))
    assert marked == {
        ("<urn:a>", "<urn:b>"): False,
        ("<urn:a>", "<urn:c>"): True,
        ("<urn:b>", "<urn:c>"): False,
    }
    asked = await _run("ASK { <urn:a> <urn:partOf> <urn:c> }", inference=True)
    assert (asked.boolean, asked.boolean_inferred) == (True, True)


async def test_construct_gives_triples() -> None:
    """A part of the graph can be taken out as a graph."""
    result = await _run("CONSTRUCT { ?o <urn:has> ?s } WHERE { ?s <urn:partOf> ?o }")
    assert result.kind == "triples"
    assert set(result.rows) == {("<urn:b>", "<urn:has>", "<urn:a>"), ("<urn:c>", "<urn:has>", "<urn:b>")}


@pytest.mark.parametrize("query", ["DELETE WHERE { ?s ?p ?o }", "LOAD <urn:x>", "SELECT nonsense", ""])
async def test_updates_and_nonsense_are_refused(query: str) -> None:
    """Queries read."""
    with pytest.raises(QueryRefused, match="cannot be read"):
        await _run(query)


@pytest.mark.parametrize("word", ["SERVICE", "service SILENT"])
async def test_other_servers_are_not_asked(word: str) -> None:
    """SERVICE would carry an organisation's facts out, or reach what only this machine may reach."""
    with pytest.raises(QueryRefused, match="this organisation's graph only"):
        await _run(f"SELECT * WHERE {{ {word} <http://127.0.0.1:9/> {{ ?s ?p ?o }} }}")


async def test_a_hidden_service_cannot_be_reached_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever gets past the first look finds no socket to open."""
    monkeypatch.setattr("knowledge.queries.query._refuse_at_sight", lambda query: None)  # pyright: ignore
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        with pytest.raises(QueryRefused, match="cannot be run"):
            await _run(f"SELECT * WHERE {{ SERVICE <http://127.0.0.1:{server.getsockname()[1]}/> {{ ?s ?p ?o }} }}")
        with pytest.raises(TimeoutError):
            server.accept()


async def test_service_in_names_and_texts_is_no_keyword() -> None:
    """A label, an IRI, a comment or a variable may well be about services."""
    query = """
    PREFIX x: <urn:service/> # a service
    SELECT ?service WHERE { ?service ?p ?l FILTER(CONTAINS(?l, "service")) OPTIONAL { ?service x:service ?o } }
    """
    assert (await _run(query)).rows == (("<urn:a>",),)


async def test_a_query_that_does_not_end_is_killed() -> None:
    """Its process ends with its time, and takes nothing else along."""
    variables = iter(range(100))
    patterns = " . ".join(f"?v{next(variables)} ?v{next(variables)} ?v{next(variables)}" for _ in range(30))
    with pytest.raises(QueryTooLarge, match=r"longer than 0\.5 s"):
        await _run(f"SELECT (COUNT(*) AS ?n) WHERE {{ {patterns} }}", limits=QueryLimits(seconds=0.5))


async def test_results_past_the_bound_are_cut_off_and_say_so() -> None:
    """By rows and by bytes."""
    query = "SELECT * WHERE { ?s ?p ?o }"
    for limits in (QueryLimits(rows=1), QueryLimits(result_bytes=100)):
        result = await _run(query, limits=limits)
        assert (len(result.rows), result.cut_off) == (1, True)
    assert not (await _run(query, limits=QueryLimits(rows=3))).cut_off
