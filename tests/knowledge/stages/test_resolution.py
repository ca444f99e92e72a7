"""Entities and facts of a document, each once, with ids from content."""

from dataclasses import replace

from knowledge.domain import Chunk, Document, Extractor, KnowledgeGraph, Literal, Span
from knowledge.ids import ChunkId, ExtractionId, OntologyId, OrganizationId
from knowledge.stages.assembly import Assembly, Fact, FactEvidence, Node, NodeMention
from knowledge.stages.confidence import UNKNOWN_MODEL, Grounds
from knowledge.stages.resolution import ground, resolve
from tests.sample import NAMESPACE, sample_ontology

TEXT = "x" * 400
DOCUMENT = Document.of(OrganizationId("acme"), "d", TEXT)
CHUNK = Chunk(ChunkId.derive("c"), 0, Span(0, 400), TEXT)
BY = Extractor("scripted", "m")
PERSON, CITY = f"{NAMESPACE}Person", f"{NAMESPACE}City"


def _node(name: str, start: int, *classes: str) -> Node:
    """A node of a passage of its own, that is named once."""
    mention = NodeMention(Span(start, start + len(name)), name, CHUNK, BY)
    return Node(name, classes, (mention,), start, None, "", "")


def _fact(subject: int, target: int | Literal, start: int = 0, confidence: float = 0.5) -> Fact:
    place = Span(start, start + 5)
    linked, literal = (None, target) if isinstance(target, Literal) else (target, None)
    predicate = f"{NAMESPACE}{'bornIn' if literal is None else 'birthDate'}"
    evidence = (FactEvidence(place, CHUNK, BY),)
    return Fact(subject, predicate, linked, literal, confidence, evidence, places=(place,))


def _resolve(*nodes: Node, facts: tuple[Fact, ...] = ()) -> KnowledgeGraph:
    assembly = Assembly(nodes, facts)
    return resolve(assembly, DOCUMENT, sample_ontology(), OntologyId.derive("o"), ExtractionId.derive("e"))


def _ground(*nodes: Node, facts: tuple[Fact, ...], failed: int = 0) -> list[Grounds]:
    assembly = Assembly(nodes, facts, failed)
    grounded = ground(assembly, DOCUMENT, sample_ontology(), OntologyId.derive("o"), ExtractionId.derive("e"))
    return list(grounded.grounds.values())


def test_a_fact_said_twice_is_one_with_both_pieces_of_evidence() -> None:
    """No duplicates, and what two places say is surer than what one says."""
    nodes = (_node("Ada", 0, PERSON), _node("Oslo", 10, CITY), _node("Ada", 100, PERSON), _node("Oslo", 110, CITY))
    (once,) = _resolve(*nodes, facts=(_fact(0, 1), _fact(2, 3))).relations
    (relation,) = _resolve(*nodes, facts=(_fact(0, 1), _fact(2, 3, 100))).relations
    assert relation.confidence > once.confidence
    assert sorted(e.span for e in relation.evidence) == [Span(0, 5), Span(100, 105)]


def test_a_sentence_read_twice_makes_nothing_surer() -> None:
    """Passages overlap; the same evidence counts once."""
    nodes = (_node("Ada", 0, PERSON), _node("Oslo", 10, CITY), _node("Ada", 100, PERSON), _node("Oslo", 110, CITY))
    once = _ground(*nodes, facts=(_fact(0, 1, 0, 0.9),))
    twice = _ground(*nodes, facts=(_fact(0, 1), _fact(2, 3, 0, 0.9)))
    assert [(g.claim, g.places) for g in (*once, *twice)] == [(0.9, 1)] * 2


def test_statements_that_the_text_does_not_bear_out_make_the_others_less_sure() -> None:
    """What can be checked tells how far to believe a model in what cannot."""
    nodes, facts = (_node("Ada", 0, PERSON), _node("Oslo", 10, CITY)), (_fact(0, 1),)
    (believed,), (doubted,) = _ground(*nodes, facts=facts), _ground(*nodes, facts=facts, failed=20)
    assert believed.record > doubted.record
    assert UNKNOWN_MODEL.probability(believed) > UNKNOWN_MODEL.probability(doubted)


def test_a_value_written_in_two_ways_is_one_fact() -> None:
    """The normalised value counts, not how it is written."""
    date = "http://www.w3.org/2001/XMLSchema#date"
    said = (Literal("1901-05-04", date, "4 May 1901"), Literal("1901-05-04", date, "May 4, 1901"))
    graph = _resolve(_node("Ada", 0, PERSON), facts=(_fact(0, said[0]), _fact(0, said[1], 50)))
    assert len(graph.relations) == 1


def test_ids_come_from_content_whatever_the_order() -> None:
    """Equal findings are equal graphs."""
    nodes = (_node("Ada Brandt", 0, PERSON), _node("Oslo", 30, CITY))
    assert {e.id for e in _resolve(*nodes).entities} == {e.id for e in _resolve(*reversed(nodes)).entities}


def test_namesakes_have_ids_and_labels_of_their_own() -> None:
    """Things kept apart for a reason must not share an id, and people must be able to tell them apart."""
    namesakes = [replace(_node("Oslo", 0, CITY), passage=0) for _ in range(3)]
    entities = _resolve(*namesakes).entities
    assert len({e.id for e in entities}) == 3
    assert {e.label: e.aliases for e in entities} == {"Oslo": (), "Oslo (2)": ("Oslo",), "Oslo (3)": ("Oslo",)}


def test_an_entity_has_the_fullest_name_that_the_document_has() -> None:
    """A name that only the model uses is no label; what the text says is."""
    node = replace(_node("Otto von Brandt", 0, PERSON), mentions=_node("xx", 0).mentions)
    (entity,) = _resolve(node).entities
    assert (entity.label, entity.aliases) == ("xx", ())
