"""Graphs as JSON lines and RDF, as other tools read them."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pyoxigraph
import pytest
from pyoxigraph import Literal as RdfLiteral
from pyoxigraph import NamedNode, Quad

from knowledge.domain import (
    Document,
    Entity,
    Evidence,
    Extractor,
    KnowledgeGraph,
    Literal,
    Mention,
    Relation,
    Span,
)
from knowledge.exports import GraphExport, RdfFormat, export_jsonl, export_rdf, mentions_jsonl, write_rdf
from knowledge.ids import (
    ChunkId,
    EntityId,
    EvidenceId,
    ExecutionId,
    ExtractionId,
    MentionId,
    OntologyId,
    OrganizationId,
    RelationId,
)
from knowledge.linking import EntityLink
from knowledge.ontology import load_ontology

EX = "http://example.com/films#"
XSD = "http://www.w3.org/2001/XMLSchema#"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
PROV = "http://www.w3.org/ns/prov#"
NIF = "http://persistence.uni-leipzig.org/nlp2rdf/ontologies/nif-core#"
BASE = "urn:knowledge:acme:"
ONTOLOGY = load_ontology(
    b"""@prefix ex: <http://example.com/films#> . @prefix owl: <http://www.w3.org/2002/07/owl#> .
    @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> . @prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
    <http://example.com/films> a owl:Ontology ; rdfs:label "Films" .
    ex:Q1 a owl:Class ; rdfs:label "film" . ex:Q2 a owl:Class ; rdfs:label "person" .
    ex:P1 a owl:ObjectProperty ; rdfs:label "director" ; rdfs:domain ex:Q1 ; rdfs:range ex:Q2 .
    ex:P2 a owl:DatatypeProperty ; rdfs:label "released" ; rdfs:range xsd:date .""",
    "films.ttl",
)
TEXT = 'Agnès Varda made "Cléo" on 11 April 1962.'
EXTRACTOR = Extractor("chat", "model-1", prompt="relations@abc", settings="temperature=0")
EXECUTION = ExecutionId("exe_" + "1" * 32)


def span_of(words: str) -> Span:
    return Span(TEXT.index(words), TEXT.index(words) + len(words))


def example(name: str = "cleo", organization: str = "acme") -> GraphExport:
    document = Document.of(OrganizationId(organization), name, TEXT, f"{name}.txt")
    extraction = ExtractionId.derive(document.id, name)
    chunk = ChunkId.derive(document.id, TEXT)
    film = Entity(EntityId.derive(extraction, "film"), 'Cléo "5 to 7"', (EX + "Q1",), ("Cléo",))
    person = Entity(EntityId.derive(extraction, "person"), "Agnès Varda", (EX + "Q2",))

    def evidence(relation: RelationId) -> tuple[Evidence, ...]:
        return (Evidence(EvidenceId.derive(relation), Span(0, len(TEXT)), TEXT, chunk, EXTRACTOR),)

    directed, released = (RelationId.derive(extraction, key) for key in ("P1", "P2"))
    date = Literal("1962-04-11", XSD + "date", "11 April 1962")
    relations = (
        Relation(directed, film.id, EX + "P1", person.id, None, 0.9, evidence(directed)),
        Relation(released, film.id, EX + "P2", None, date, 0.75, evidence(released)),
    )
    mentions = tuple(
        Mention(MentionId.derive(entity.id, words), span_of(words), words, entity.id, chunk, EXTRACTOR)
        for entity, words in ((film, "Cléo"), (person, "Agnès Varda"))
    )
    ontology_id = OntologyId.derive(organization, ONTOLOGY.digest)
    graph = KnowledgeGraph(extraction, document.id, ontology_id, (film, person), mentions, relations)
    started, ended = (datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC) for second in (5, 6))
    return GraphExport(document, ONTOLOGY, graph, EXECUTION, started, ended)


def parsed(data: bytes, form: RdfFormat) -> list[Quad]:
    return list(pyoxigraph.parse(data, format=pyoxigraph.RdfFormat.from_extension(form.value)))


def store_of(export: GraphExport) -> pyoxigraph.Store:
    store = pyoxigraph.Store()
    store.extend(parsed(export_rdf([export], RdfFormat.TURTLE), RdfFormat.TURTLE))
    return store


def asked(store: pyoxigraph.Store, where: str) -> bool:
    return bool(store.query(f"PREFIX prov: <{PROV}> PREFIX nif: <{NIF}> PREFIX rdf: <{RDF}> ASK {{ {where} }}"))


def test_entity_lines_carry_names_types_and_aliases() -> None:
    """The field names are a contract with other tools."""
    export = example()
    lines = [json.loads(line) for line in export_jsonl([export])]
    film = export.graph.entities[0]
    assert {
        "doc_id": "cleo",
        "id": film.id,
        "label": 'Cléo "5 to 7"',
        "type": "film",
        "types": ["film"],
        "type_iris": [EX + "Q1"],
        "aliases": ["Cléo"],
    } in lines


def test_triple_lines_tell_entities_from_literals_and_quote_their_evidence() -> None:
    """A literal without `is_literal` would be read as one more entity."""
    export = example()
    triples = {line["predicate"]: line for line in map(json.loads, export_jsonl([export])) if "predicate" in line}
    film, person = export.graph.entities
    assert triples["director"] == {
        "doc_id": "cleo",
        "subject": film.label,
        "subject_id": film.id,
        "predicate": "director",
        "predicate_iri": EX + "P1",
        "object": "Agnès Varda",
        "object_id": person.id,
        "subject_type": "film",
        "object_type": "person",
        "confidence": 0.9,
        "evidence": [{"start": 0, "end": len(TEXT), "text": TEXT}],
    }
    released = triples["released"]
    assert (released["object"], released["is_literal"]) == ("11 April 1962", True)
    assert (released["lexical"], released["datatype"]) == ("1962-04-11", XSD + "date")
    assert "object_id" not in released


def test_mention_lines_quote_the_text_at_their_offsets_in_order() -> None:
    """Offsets are code points, whatever the encoding of the file."""
    lines = [json.loads(line) for line in mentions_jsonl([example()])]
    assert [line["text"] for line in lines] == ["Agnès Varda", "Cléo"]
    assert all(TEXT[line["start"] : line["end"]] == line["text"] for line in lines)


@pytest.mark.parametrize("form", list(RdfFormat))
def test_every_format_holds_the_same_triples(form: RdfFormat) -> None:
    """Whichever a user asks for, nothing is lost in it."""
    exports = [example(), example("copy")]
    expected = {quad.triple for quad in parsed(export_rdf(exports, RdfFormat.TURTLE), RdfFormat.TURTLE)}
    quads = parsed(export_rdf(exports, form), form)
    assert {quad.triple for quad in quads} == expected


@pytest.mark.parametrize("form", list(RdfFormat))
def test_the_same_graph_gives_the_same_bytes_in_whatever_order_it_comes(form: RdfFormat) -> None:
    """Exports are compared and kept under version control."""
    export = example()
    graph = export.graph
    shuffled = replace(
        export,
        graph=replace(
            graph,
            entities=graph.entities[::-1],
            mentions=graph.mentions[::-1],
            relations=graph.relations[::-1],
        ),
    )
    assert export_rdf([export], form) == export_rdf([shuffled], form)
    assert list(export_jsonl([export])) == list(export_jsonl([shuffled]))


def test_facts_are_plain_triples_with_typed_literals() -> None:
    """A SPARQL query over the ontology's own terms needs to know nothing of provenance."""
    export = example()
    film, person = (NamedNode(BASE + entity.id) for entity in export.graph.entities)
    triples = {quad.triple for quad in parsed(export_rdf([export], RdfFormat.TURTLE), RdfFormat.TURTLE)}
    own = {(t.subject, t.object) for t in triples if t.predicate.value.startswith(EX)}
    assert own == {(film, person), (film, RdfLiteral("1962-04-11", datatype=NamedNode(XSD + "date")))}


def test_provenance_leads_from_a_fact_to_document_model_and_run() -> None:
    """Every fact can be asked where it comes from."""
    store = store_of(example())
    assert asked(
        store,
        f"""?fact a rdf:Statement ; rdf:predicate <{EX}P1> ; prov:wasDerivedFrom ?quote ;
              prov:wasGeneratedBy <{BASE}{EXECUTION}> ; prov:wasAttributedTo ?extractor .
            ?quote nif:beginIndex ?start ; nif:endIndex ?end ; nif:anchorOf ?text ; prov:wasQuotedFrom ?document .
            ?extractor a prov:SoftwareAgent ; <urn:knowledge:terms:model> "model-1" ;
              <urn:knowledge:terms:prompt> "relations@abc" .
            <{BASE}{EXECUTION}> a prov:Activity ; prov:used ?document ;
              prov:startedAtTime "2026-01-02T03:04:05Z"^^<{XSD}dateTime> ;
              prov:endedAtTime "2026-01-02T03:04:06Z"^^<{XSD}dateTime> .""",
    )


def test_without_an_execution_no_activity_is_claimed() -> None:
    """The pipeline also runs in plain scripts."""
    store = store_of(replace(example(), execution_id=None, started_at=None, ended_at=None))
    assert not asked(store, "?s prov:wasGeneratedBy ?o")
    assert asked(store, "?s prov:wasAttributedTo ?o")


def test_named_graphs_keep_each_documents_facts_apart_from_provenance() -> None:
    """So that a document's facts can be replaced, or queried without bookkeeping."""
    exports = [example(), example("other", "globex")]
    graphs: dict[str, set[str]] = {}
    for quad in parsed(export_rdf(exports, RdfFormat.N_QUADS), RdfFormat.N_QUADS):
        assert isinstance(quad.graph_name, NamedNode)
        graphs.setdefault(quad.graph_name.value, set()).add(quad.predicate.value)
    documents = {f"urn:knowledge:{e.document.organization_id}:{e.document.id}" for e in exports}
    assert documents | {BASE + "provenance", "urn:knowledge:globex:provenance"} == set(graphs)
    for name, predicates in graphs.items():
        assert (EX + "P1" in predicates) == (name in documents)
        assert (PROV + "wasDerivedFrom" in predicates) == (name not in documents)


def test_turtle_is_short_to_read() -> None:
    """People open these files: prefixes are named after the namespaces."""
    turtle = export_rdf([example()], RdfFormat.TURTLE).decode()
    assert "@prefix films: <http://example.com/films#> ." in turtle
    assert "a films:Q1 ;" in turtle
    assert "@prefix acme: <urn:knowledge:acme:> ." in turtle


def test_the_base_of_iris_can_be_chosen_and_output_streamed() -> None:
    """Organisations publish under addresses of their own."""
    output = io.BytesIO()
    write_rdf([example()], output, RdfFormat.N_QUADS, base="https://data.example.org/{organization}/")
    assert b"<https://data.example.org/acme/ent_" in output.getvalue()
    assert b"urn:knowledge:acme" not in output.getvalue()


def test_nothing_to_export_is_a_valid_empty_file() -> None:
    """An organisation without graphs gets files without facts, not an error."""
    assert [parsed(export_rdf([], form), form) for form in RdfFormat] == [[], [], [], []]
    assert list(export_jsonl([])) == []


def test_links_and_flags_are_exported_where_there_are_some() -> None:
    """Who merges documents wants the links, who trusts the ontology the flags; nobody wants empty ones."""
    export, other = example(), example("other")
    link = EntityLink.between(export.graph.entities[0].id, other.graph.entities[0].id, 0.8, ("one name",))
    flagged = replace(export.graph.relations[0], flags=("outside range",))
    graph = replace(export.graph, relations=(flagged, *export.graph.relations[1:]))
    linked = replace(export, graph=graph, links=(link,))
    (quad,) = (quad for quad in parsed(export_rdf([linked], RdfFormat.TURTLE), RdfFormat.TURTLE) if is_link(quad))
    assert {quad.subject, quad.object} == {NamedNode(BASE + link.entity_id), NamedNode(BASE + link.other_id)}
    assert [line.get("flags") for line in map(json.loads, export_jsonl([linked])) if "predicate" in line].count(
        ["outside range"]
    ) == 1
    assert not any(map(is_link, parsed(export_rdf([export], RdfFormat.TURTLE), RdfFormat.TURTLE)))


def is_link(quad: Quad) -> bool:
    return quad.predicate.value == "http://www.w3.org/2002/07/owl#sameAs"
