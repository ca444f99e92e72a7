"""Where facts come from, in PROV-O: statement <- evidence <- document, by extractor, in execution.

Text positions are NIF's `beginIndex` and `endIndex`: code points into the document's text, half-open.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from pyoxigraph import Literal, NamedNode, Triple

from knowledge.domain import Evidence, Extractor, Mention, Relation, Span
from knowledge.exports.graph_export import GraphExport
from knowledge.exports.namespaces import DCTERMS, ITSRDF, LABEL, NIF, PROV, RDF, TERMS, TYPE, XSD
from knowledge.ids import RelationId

_ENTITY = NamedNode(PROV + "Entity")
_ACTIVITY = NamedNode(PROV + "Activity")
_SOFTWARE_AGENT = NamedNode(PROV + "SoftwareAgent")
_USED = NamedNode(PROV + "used")
_STARTED_AT = NamedNode(PROV + "startedAtTime")
_ENDED_AT = NamedNode(PROV + "endedAtTime")
_ASSOCIATED_WITH = NamedNode(PROV + "wasAssociatedWith")
_ATTRIBUTED_TO = NamedNode(PROV + "wasAttributedTo")
_GENERATED_BY = NamedNode(PROV + "wasGeneratedBy")
_DERIVED_FROM = NamedNode(PROV + "wasDerivedFrom")
_QUOTED_FROM = NamedNode(PROV + "wasQuotedFrom")
_SPECIALIZATION_OF = NamedNode(PROV + "specializationOf")
_STATEMENT = NamedNode(RDF + "Statement")
_SUBJECT = NamedNode(RDF + "subject")
_PREDICATE = NamedNode(RDF + "predicate")
_OBJECT = NamedNode(RDF + "object")
_CONTEXT = NamedNode(NIF + "Context")
_PHRASE = NamedNode(NIF + "Phrase")
_BEGIN = NamedNode(NIF + "beginIndex")
_END = NamedNode(NIF + "endIndex")
_ANCHOR = NamedNode(NIF + "anchorOf")
_REFERENCE_CONTEXT = NamedNode(NIF + "referenceContext")
_IDENTIFIES = NamedNode(ITSRDF + "taIdentRef")
_IDENTIFIER = NamedNode(DCTERMS + "identifier")
_SOURCE = NamedNode(DCTERMS + "source")
_PART_OF = NamedNode(DCTERMS + "isPartOf")
_MODEL = NamedNode(TERMS + "model")
_PROMPT = NamedNode(TERMS + "prompt")
_SETTINGS = NamedNode(TERMS + "settings")
_CONFIDENCE = NamedNode(TERMS + "confidence")
_FLAG = NamedNode(TERMS + "flag")
_INTEGER = NamedNode(XSD + "nonNegativeInteger")
_DATE_TIME = NamedNode(XSD + "dateTime")


class ProvenanceWriter:
    """The provenance of one export. `base` begins the IRI of everything that has an id."""

    def __init__(self, export: GraphExport, base: str) -> None:
        self._export = export
        self._base = base
        self._document = NamedNode(base + export.document.id)
        self._ontology = NamedNode(base + export.graph.ontology_id)
        self._execution = NamedNode(base + export.execution_id) if export.execution_id else None
        self._agents: dict[Extractor, NamedNode] = {}

    def triples(self, objects: Mapping[RelationId, NamedNode | Literal]) -> Iterator[Triple]:
        """Everything about the export's facts and mentions; `objects` has each relation's object by its id."""
        graph = self._export.graph
        yield from self._sources()
        for relation in sorted(graph.relations, key=lambda item: item.id):
            yield from self._statement(relation, objects[relation.id])
        for mention in sorted(graph.mentions, key=lambda item: (item.span, item.id)):
            yield from self._mention(mention)
        yield from self._chunks()
        yield from self._doers()

    def _sources(self) -> Iterator[Triple]:
        document, ontology = self._export.document, self._export.ontology
        yield Triple(self._document, TYPE, _ENTITY)
        yield Triple(self._document, TYPE, _CONTEXT)
        yield Triple(self._document, LABEL, Literal(document.name))
        yield Triple(self._document, _SOURCE, Literal(document.source))
        yield Triple(self._ontology, TYPE, _ENTITY)
        yield Triple(self._ontology, LABEL, Literal(ontology.label))
        yield Triple(self._ontology, _IDENTIFIER, Literal(ontology.digest))
        if ontology.iri:
            yield Triple(self._ontology, _SPECIALIZATION_OF, NamedNode(ontology.iri))

    def _statement(self, relation: Relation, value: NamedNode | Literal) -> Iterator[Triple]:
        node = NamedNode(self._base + relation.id)
        evidence = sorted(relation.evidence, key=lambda item: (item.span, item.id))
        yield Triple(node, TYPE, _STATEMENT)
        yield Triple(node, TYPE, _ENTITY)
        yield Triple(node, _SUBJECT, NamedNode(self._base + relation.subject_id))
        yield Triple(node, _PREDICATE, NamedNode(relation.predicate))
        yield Triple(node, _OBJECT, value)
        yield Triple(node, _CONFIDENCE, Literal(relation.confidence))
        for flag in relation.flags:
            yield Triple(node, _FLAG, Literal(flag))
        for item in evidence:
            yield Triple(node, _DERIVED_FROM, NamedNode(self._base + item.id))
        yield from self._made(node, (item.extractor for item in evidence))
        for item in evidence:
            yield from self._quotation(NamedNode(self._base + item.id), item)

    def _mention(self, mention: Mention) -> Iterator[Triple]:
        node = NamedNode(self._base + mention.id)
        yield from self._quotation(node, mention)
        yield Triple(node, _IDENTIFIES, NamedNode(self._base + mention.entity_id))
        yield from self._made(node, (mention.extractor,))

    def _quotation(self, node: NamedNode, item: Evidence | Mention) -> Iterator[Triple]:
        yield Triple(node, TYPE, _PHRASE)
        yield Triple(node, TYPE, _ENTITY)
        yield from _position(node, item.span)
        yield Triple(node, _ANCHOR, Literal(item.text))
        yield Triple(node, _REFERENCE_CONTEXT, self._document)
        yield Triple(node, _QUOTED_FROM, self._document)
        yield Triple(node, _PART_OF, NamedNode(self._base + item.chunk_id))

    def _made(self, node: NamedNode, extractors: Iterable[Extractor]) -> Iterator[Triple]:
        if self._execution is not None:
            yield Triple(node, _GENERATED_BY, self._execution)
        for extractor in dict.fromkeys(extractors):
            yield Triple(node, _ATTRIBUTED_TO, self._agent(extractor))

    def _agent(self, extractor: Extractor) -> NamedNode:
        if extractor not in self._agents:
            self._agents[extractor] = NamedNode(f"{self._base}extractor_{extractor.digest[:32]}")
        return self._agents[extractor]

    def _chunks(self) -> Iterator[Triple]:
        graph = self._export.graph
        quoted = {mention.chunk_id for mention in graph.mentions}
        quoted |= {evidence.chunk_id for relation in graph.relations for evidence in relation.evidence}
        for chunk_id in sorted(quoted):
            node = NamedNode(self._base + chunk_id)
            yield Triple(node, TYPE, _ENTITY)
            yield Triple(node, _PART_OF, self._document)

    def _doers(self) -> Iterator[Triple]:
        """The execution, and the extractors that the facts named."""
        agents = sorted(self._agents.items(), key=lambda item: item[1].value)
        if self._execution is not None:
            yield from self._activity(self._execution, [node for _, node in agents])
        for extractor, node in agents:
            yield Triple(node, TYPE, _SOFTWARE_AGENT)
            yield Triple(node, LABEL, Literal(extractor.name))
            yield Triple(node, _MODEL, Literal(extractor.model))
            if extractor.prompt:
                yield Triple(node, _PROMPT, Literal(extractor.prompt))
            if extractor.settings:
                yield Triple(node, _SETTINGS, Literal(extractor.settings))

    def _activity(self, execution: NamedNode, agents: list[NamedNode]) -> Iterator[Triple]:
        yield Triple(execution, TYPE, _ACTIVITY)
        if self._export.started_at is not None:
            yield Triple(execution, _STARTED_AT, _time(self._export.started_at))
        if self._export.ended_at is not None:
            yield Triple(execution, _ENDED_AT, _time(self._export.ended_at))
        for used in (self._document, self._ontology):
            yield Triple(execution, _USED, used)
        for agent in agents:
            yield Triple(execution, _ASSOCIATED_WITH, agent)


def _position(node: NamedNode, span: Span) -> Iterator[Triple]:
    yield Triple(node, _BEGIN, Literal(str(span.start), datatype=_INTEGER))
    yield Triple(node, _END, Literal(str(span.end), datatype=_INTEGER))


def _time(moment: datetime) -> Literal:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return Literal(aware.astimezone(UTC).isoformat().replace("+00:00", "Z"), datatype=_DATE_TIME)
