"""Reports for tests and benchmarks, made in memory: an ordinary one, a hostile one, and one as large as is wanted."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

from knowledge.domain import (
    ActivityStatus,
    Document,
    Entity,
    Evidence,
    ExecutionStatistics,
    ExecutionStatus,
    Extractor,
    KnowledgeGraph,
    Literal,
    Mention,
    Relation,
    Span,
    Stage,
    WorkflowExecutionState,
)
from knowledge.exports import GraphExport
from knowledge.exports.report import Attempt, LeftOut, Report, ReportedRun
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
from knowledge.ontology import Ontology, load_ontology
from knowledge.signals import Signal

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
XSD = "http://www.w3.org/2001/XMLSchema#"
EX = "https://example.org/r#"
ONTOLOGY = b"""
@prefix : <https://example.org/r#> . @prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
:Person a owl:Class ; rdfs:label "person" . :City a owl:Class ; rdfs:label "city" .
:knows a owl:ObjectProperty ; rdfs:label "knows" . :bornIn a owl:ObjectProperty ; rdfs:label "born in" .
:born a owl:DatatypeProperty ; rdfs:label "birth date" .
"""
_BY = Extractor("chat", "model-1", "passage@1")
_ORGANIZATION = OrganizationId("acme")


@dataclass(frozen=True, slots=True)
class Said:
    """A fact for a graph: a literal is a date; the sentence is its evidence."""

    subject: str
    predicate: str
    object: str
    sentence: str
    confidence: float = 0.9
    flags: tuple[str, ...] = ()
    is_literal: bool = False


ORDINARY = (
    Said("Ada Brandt", EX + "bornIn", "Oslo", "Ada Brandt was born in Oslo."),
    Said("Ada Brandt", EX + "born", "4 May 1901", "She was born on 4 May 1901.", 0.6, is_literal=True),
    Said("Per Holm", EX + "knows", "Ada Brandt", "Per Holm \U0001f9ed knew \U0001d504da Brandt.", 0.8),
    Said("Oslo", EX + "knows", "Per Holm", "In Oslo they knew Per Holm.", 0.3, ("outside domain",)),
)


def export_of(
    said: tuple[Said, ...] = ORDINARY,
    *,
    name: str = "brandt",
    before: str = "\U0001f4dc\U0001f4dc A note.\n",
    classes: tuple[str, ...] = (EX + "Person",),
    ontology: Ontology | None = None,
) -> GraphExport:
    """A graph of these facts; its document is the text `before` and then their sentences, a line each."""
    sentences = list(dict.fromkeys(fact.sentence for fact in said))
    document = Document.of(_ORGANIZATION, name, before + "\n".join(sentences), f"{name}.txt")
    extraction = ExtractionId.derive(document.id, name)
    chunk = ChunkId.derive(document.id, "0")
    starts = dict(zip(sentences, _starts(before, sentences), strict=True))
    labels = list(dict.fromkeys(end for f in said for end in ((f.subject,) if f.is_literal else (f.subject, f.object))))
    ids = {label: EntityId.derive(extraction, label) for label in labels}
    ontology = ontology or load_ontology(ONTOLOGY, "r.ttl")
    graph = KnowledgeGraph(
        extraction,
        document.id,
        OntologyId.derive(_ORGANIZATION, ontology.digest),
        tuple(
            Entity(ids[label], label, classes if n % 3 else (), (f"{label}, again",)) for n, label in enumerate(labels)
        ),
        tuple(
            _mention(ids[fact.subject], fact, starts[fact.sentence], chunk)
            for fact in said
            if fact.subject in fact.sentence
        ),
        tuple(_relation(extraction, n, fact, starts[fact.sentence], chunk, ids) for n, fact in enumerate(said)),
    )
    return GraphExport(document, ontology, graph, ExecutionId("exe_" + "1" * 32), NOON, NOON + timedelta(seconds=9))


def _starts(before: str, sentences: list[str]) -> list[int]:
    starts = [len(before)]
    for sentence in sentences[:-1]:
        starts.append(starts[-1] + len(sentence) + 1)
    return starts


def _mention(entity_id: EntityId, fact: Said, start: int, chunk: ChunkId) -> Mention:
    begin = start + fact.sentence.index(fact.subject)
    span = Span(begin, begin + len(fact.subject))
    return Mention(MentionId.derive(entity_id, str(begin)), span, fact.subject, entity_id, chunk, _BY)


def _relation(
    extraction: ExtractionId, n: int, fact: Said, start: int, chunk: ChunkId, ids: dict[str, EntityId]
) -> Relation:
    relation_id = RelationId.derive(extraction, str(n))
    span = Span(start, start + len(fact.sentence))
    evidence = Evidence(EvidenceId.derive(relation_id), span, fact.sentence, chunk, _BY)
    literal = Literal("1901-05-04", XSD + "date", fact.object) if fact.is_literal else None
    target = None if fact.is_literal else ids[fact.object]
    return Relation(
        relation_id, ids[fact.subject], fact.predicate, target, literal, fact.confidence, (evidence,), fact.flags
    )


def run_of(
    export: GraphExport | None,
    *,
    attempts: tuple[Attempt, ...] = (),
    signals: tuple[Signal, ...] = (),
    left_out: tuple[LeftOut, ...] | None = (),
    status: ExecutionStatus = ExecutionStatus.COMPLETED,
    error: str | None = None,
    resumes: int = 0,
    name: str = "brandt",
) -> ReportedRun:
    """A run that took nine seconds."""
    state = WorkflowExecutionState(
        id=ExecutionId("exe_" + "1" * 32),
        organization_id=_ORGANIZATION,
        flow_run_id=None,
        document_id=export and export.document.id,
        ontology_id=export and export.graph.ontology_id,
        extraction_id=export and export.graph.extraction_id,
        document_name=name,
        status=status,
        stage=None,
        error=error,
        resumes=resumes,
        statistics=ExecutionStatistics(),
        pid=None,
        host=None,
        holder=None,
        started_at=NOON,
        ended_at=NOON + timedelta(seconds=9),
    )
    return ReportedRun(state, export and export.document, export, attempts, signals, left_out)


def attempt(
    stage: Stage = Stage.MENTIONS,
    item: int = 0,
    begun: float = 0.0,
    seconds: float | None = 1.0,
    status: ActivityStatus = ActivityStatus.COMPLETED,
    *,
    number: int = 1,
    error: str | None = None,
    given_up: bool = False,
) -> Attempt:
    """An attempt that began so many seconds after noon."""
    started = NOON + timedelta(seconds=begun)
    ended = None if seconds is None else started + timedelta(seconds=seconds)
    return Attempt(stage, f"{item:05d}", number, status, started, ended, error, given_up)


def ordinary_report() -> Report:
    """Two documents with a link between them, a flagged fact, an unmapped one, and a failure on the way."""
    one, two = export_of(), export_of(ORDINARY[:1], name="again", before="")
    link = EntityLink.between(one.graph.entities[0].id, two.graph.entities[0].id, 0.85, ("both are called Ada Brandt",))
    attempts = (
        attempt(Stage.CHUNK),
        attempt(begun=1, status=ActivityStatus.FAILED, error="503: busy"),
        attempt(begun=3, number=2),
    )
    left_out = (
        LeftOut("has a predicate that the ontology does not have", "Ada Brandt painted a boat", 0, is_unmapped=True),
        LeftOut("is not in the passage", "Bergen", 1),
    )
    other = replace(run_of(two, name="again"), state=replace(run_of(two).state, document_name="again"))
    return Report("What 2 documents say", (run_of(one, attempts=attempts, left_out=left_out), other), (link,), NOON)


def large_report(nodes: int, *, seed: int = 1) -> Report:
    """A graph of so many entities with half as many facts again, a few entities having most of them."""
    random = Random(seed)
    names = [f"{random.choice(_FIRST)} {random.choice(_LAST)} {n}" for n in range(nodes)]
    ends = [(n, int(n * random.random() ** 2)) for n in range(1, nodes)]
    ends += [(random.randrange(nodes), random.randrange(nodes)) for _ in range(nodes // 2)]
    said = tuple(
        Said(
            names[one],
            EX + "knows",
            names[other],
            f"{names[one]} knew {names[other]}, it was said in the year {n}.",
            round(random.uniform(0.3, 1.0), 2),
        )
        for n, (one, other) in enumerate(ends)
        if one != other
    )
    return Report(f"A graph of {nodes} entities", (run_of(export_of(said, name="large", before="")),), (), NOON)


_FIRST = ("Ada", "Béla", "Chloé", "Dag", "Eva", "Fatou", "Gro", "Hana", "Ivo", "Jun")
_LAST = ("Brandt", "Curie", "Dvořák", "Engström", "Farah", "García", "Holm", "Ito", "Jensen", "Kowalski")
