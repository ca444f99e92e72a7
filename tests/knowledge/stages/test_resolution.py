"""One thing is one entity, and two things are two, whatever the chunks call them."""

from knowledge.domain import Chunk, Document, Extractor, KnowledgeGraph, Literal, Span
from knowledge.ids import ChunkId, ExtractionId, OntologyId, OrganizationId
from knowledge.stages.assembly import Assembly, Fact, FactEvidence, Node, NodeMention
from knowledge.stages.resolution import folded_name, resolve
from tests.sample import NAMESPACE, sample_ontology

TEXT = "x" * 400
DOCUMENT = Document.of(OrganizationId("acme"), "d", TEXT)
CHUNK = Chunk(ChunkId.derive("c"), 0, Span(0, 400), TEXT)
BY = Extractor("scripted", "m")
PERSON, SCIENTIST, CITY, PRIZE = (f"{NAMESPACE}{name}" for name in ("Person", "Scientist", "City", "Prize"))


def _node(name: str, start: int, *classes: str) -> Node:
    mention = NodeMention(Span(start, start + len(name)), name, CHUNK, BY)
    return Node(name, classes, (mention,), None, "", "")


def _fact(subject: int, target: int | Literal, start: int = 0, confidence: float = 0.5) -> Fact:
    evidence = (FactEvidence(Span(start, start + 5), CHUNK, BY),)
    if isinstance(target, Literal):
        return Fact(subject, f"{NAMESPACE}birthDate", None, target, confidence, evidence)
    return Fact(subject, f"{NAMESPACE}bornIn", target, None, confidence, evidence)


def _resolve(*nodes: Node, facts: tuple[Fact, ...] = ()) -> KnowledgeGraph:
    assembly = Assembly(nodes, facts)
    return resolve(assembly, DOCUMENT, sample_ontology(), OntologyId.derive("o"), ExtractionId.derive("e"))


def _labels(graph: KnowledgeGraph) -> list[str]:
    return sorted(entity.label for entity in graph.entities)


def test_case_accents_and_articles_do_not_make_another_thing() -> None:
    """Writers vary."""
    assert folded_name("The Nørdlys-Prize") == folded_name("nørdlys prize")
    graph = _resolve(_node("Nordlys Prize", 0, PRIZE), _node("the Nordlys prize", 20, PRIZE))
    assert len(graph.entities) == 1


def test_one_name_of_incompatible_classes_is_two_things() -> None:
    """Paris the city and Paris the person are not one."""
    assert len(_resolve(_node("Oslo", 0, CITY), _node("Oslo", 20, PERSON)).entities) == 2


def test_a_class_and_its_superclass_are_compatible() -> None:
    """A scientist is a person."""
    (entity,) = _resolve(_node("Ada", 0, SCIENTIST), _node("Ada", 20, PERSON)).entities
    assert entity.classes == (SCIENTIST, PERSON)


def test_a_surname_belongs_to_the_one_person_who_bears_it() -> None:
    """Texts introduce people in full and go on with the surname."""
    graph = _resolve(_node("Ada Brandt", 0, SCIENTIST), _node("Brandt", 50, PERSON))
    assert [(e.label, e.aliases) for e in graph.entities] == [("Ada Brandt", ("Brandt",))]


def test_a_surname_that_two_people_bear_stays_by_itself() -> None:
    """Guessing would put one's facts on the other."""
    graph = _resolve(_node("Ada Brandt", 0, PERSON), _node("Otto Brandt", 20, PERSON), _node("Brandt", 50, PERSON))
    assert _labels(graph) == ["Ada Brandt", "Brandt", "Otto Brandt"]


def test_a_last_word_is_no_surname_of_what_is_no_person() -> None:
    """York is not New York."""
    assert _labels(_resolve(_node("New York", 0, CITY), _node("York", 30, CITY))) == ["New York", "York"]


def test_an_acronym_belongs_to_the_one_name_with_its_initials() -> None:
    """And small words do not count."""
    graph = _resolve(_node("Prize of Northern Light", 0, PRIZE), _node("PNL", 60, PRIZE))
    assert _labels(graph) == ["Prize of Northern Light"]


def test_a_fact_said_twice_is_one_with_both_pieces_of_evidence() -> None:
    """No duplicates; the stronger statement counts."""
    nodes = (_node("Ada", 0, PERSON), _node("Oslo", 10, CITY), _node("Ada", 100, PERSON), _node("Oslo", 110, CITY))
    (relation,) = _resolve(*nodes, facts=(_fact(0, 1), _fact(2, 3, 100, 0.9))).relations
    assert relation.confidence == 0.9
    assert sorted(e.span for e in relation.evidence) == [Span(0, 5), Span(100, 105)]


def test_a_value_written_in_two_ways_is_one_fact() -> None:
    """The normalised value counts, not how it is written."""
    date = "http://www.w3.org/2001/XMLSchema#date"
    said = (Literal("1901-05-04", date, "4 May 1901"), Literal("1901-05-04", date, "May 4, 1901"))
    graph = _resolve(_node("Ada", 0, PERSON), facts=(_fact(0, said[0]), _fact(0, said[1], 50)))
    assert len(graph.relations) == 1


def test_the_order_of_chunks_does_not_change_ids() -> None:
    """Ids come from content."""
    nodes = (_node("Ada Brandt", 0, PERSON), _node("Oslo", 30, CITY))
    assert {e.id for e in _resolve(*nodes).entities} == {e.id for e in _resolve(*reversed(nodes)).entities}


def test_things_that_look_alike_have_ids_of_their_own() -> None:
    """Two entities of one label and class (kept apart for a reason) must not share an id."""
    graph = _resolve(_node("Oslo", 0, CITY), _node("Oslo", 20, PERSON), _node("Oslo", 40, PRIZE))
    assert len({e.id for e in graph.entities}) == 3
