"""An organisation's search index and graph, as retrieval reads them: one transaction under row security.

Vectors are searched exactly where an organisation has few, and by the shared HNSW index where it has many; that scan
goes on past other organisations' vectors, and where it gives up early the search is made again, exactly.
"""

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.orm import Session

from knowledge.domain import Literal, Span
from knowledge.ids import DocumentId, EntityId, EvidenceId, ExtractionId, OrganizationId, RelationId
from knowledge.search.embedding import IndexedModel, Vector
from knowledge.search.findings import Fact, FactEnd, FactEvidence
from knowledge.search.kinds import EntryKind
from knowledge.search.ports import EntryHit, Link, PredicateHit, Quotation
from tables import search_statements as statements
from tables.search import VECTOR_INDEX_DIMENSIONS
from tables.search_index import indexed_models
from tables.session import Database

EXACT_ENTRIES = 10_000
"""Up to this many vectors of a kind are compared one by one: 10,000 of 384 dimensions take about 10 ms."""
MAX_POSTINGS = 4_000
"""So many passages, those of the rarest words, are weighed; a word that is in more adds to those that are."""
_EF_SEARCH = 100
_SAME_TEXTS = 4  # a text may be in that many documents before it crowds others out


class OrganizationSearch:
    """Implements `knowledge.search.ports.SearchSource` on the tables."""

    def __init__(self, database: Database, organization_id: OrganizationId) -> None:
        self._database = database
        self._organization_id = organization_id

    @property
    def organization_id(self) -> OrganizationId:
        """Whose index and graph."""
        return self._organization_id

    @contextmanager
    def view(self) -> Generator["SearchTransaction"]:
        """A view; everything read through it is the organisation's.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        with self._database.org_session(self._organization_id) as session:
            session.execute(statements.TUNE, {"ef_search": str(_EF_SEARCH)})
            yield SearchTransaction(session, self._organization_id)


class SearchTransaction:
    """Implements `knowledge.search.ports.SearchView`."""

    def __init__(self, session: Session, organization_id: OrganizationId, max_postings: int = MAX_POSTINGS) -> None:
        self._session = session
        self._organization_id = organization_id
        self._postings = max_postings
        self._counts: dict[str, tuple[int, int]] = {}

    def models(self) -> tuple[IndexedModel, ...]:
        """The models whose vectors the index holds."""
        return indexed_models(self._session, self._organization_id)

    def named(self, keys: Sequence[str], model: str) -> Mapping[str, tuple[EntityId, ...]]:
        """The entities that bear each of the names (folded); names that nothing bears are left out."""
        found: defaultdict[str, list[EntityId]] = defaultdict(list)
        for term, entity_id in self._rows(statements.NAMED, keys=list(keys), model=model):
            found[term].append(EntityId(entity_id))
        return {term: tuple(dict.fromkeys(ids)) for term, ids in found.items()}

    def predicates(self, vector: Vector, model: str) -> tuple[PredicateHit, ...]:
        """All predicates in use under each of their names, for each predicate the preferred one first."""
        rows = self._rows(statements.PREDICATES, vector=_written(vector), model=model)
        return tuple(PredicateHit(iri, label, cosine) for iri, label, cosine in rows)

    def nearest(
        self, kind: EntryKind, vector: Vector, model: str, limit: int, *, exact: bool | None = None
    ) -> tuple[EntryHit, ...]:
        """The entries whose vectors are nearest, by cosine; equal texts once. `exact` overrides how they are found."""
        count = self._count(kind, model)
        given = {"vector": _written(vector), "model": model, "kind": kind.value, "rows": limit * _SAME_TEXTS}
        has_index = len(vector) in VECTOR_INDEX_DIMENSIONS
        if has_index and (count > EXACT_ENTRIES if exact is None else not exact):
            rows = self._rows(statements.approximately(kind, len(vector)), **given)
            if len(rows) >= min(limit, count):
                return _hits(rows, limit)
        return _hits(self._rows(statements.EXACTLY, **given), limit)

    def worded(self, question: str, model: str, limit: int) -> tuple[EntryHit, ...]:
        """The passages with the rarest of the question's words, by inverse document frequency."""
        given = {"question": question, "model": model, "postings": self._postings, "rows": limit * _SAME_TEXTS}
        return _hits(self._rows(statements.WORDED, passages=self._count(EntryKind.PASSAGE, model), **given), limit)

    def links(self, relation_ids: Sequence[RelationId]) -> Mapping[RelationId, Link]:
        """These relations."""
        return {link.id: link for link in map(_link, self._rows(statements.LINKS, ids=list(relation_ids)))}

    def links_of(self, entity_ids: Sequence[EntityId], fits: Mapping[str, float], limit: int) -> tuple[Link, ...]:
        """The relations at these entities, those whose predicate (IRI) fits best first, at most `limit`."""
        given = {"predicates": list(fits), "fits": list(fits.values()), "limit": limit}
        return tuple(map(_link, self._rows(statements.LINKS_OF, ids=list(entity_ids), **given)))

    def entities(self, entity_ids: Sequence[EntityId]) -> Mapping[EntityId, FactEnd]:
        """These entities."""
        rows = self._rows(statements.ENTITIES, ids=list(entity_ids))
        ends = (FactEnd(EntityId(i), label, tuple(aliases), tuple(classes)) for i, label, aliases, classes in rows)
        return {end.id: end for end in ends}

    def facts(self, relation_ids: Sequence[RelationId], labels: Mapping[str, str]) -> Mapping[RelationId, Fact]:
        """These relations as facts with their evidence; `labels` names predicates (by IRI)."""
        rows = self._rows(statements.FACTS, ids=list(relation_ids))
        evidence: defaultdict[str, list[FactEvidence]] = defaultdict(list)
        for relation_id, evidence_id, start, end, said in self._rows(statements.EVIDENCE, ids=list(relation_ids)):
            evidence[relation_id].append(FactEvidence(EvidenceId(evidence_id), Span(start, end), said))
        ends = self.entities(list({end for row in rows for end in (row.subject_id, row.object_id) if end}))
        return {RelationId(row.id): _fact(row, ends, labels, evidence[row.id]) for row in rows}

    def quotations(self, evidence_ids: Sequence[EvidenceId]) -> Mapping[EvidenceId, Quotation]:
        """These evidence spans, as their rows have them and as their documents do."""
        rows = self._rows(statements.QUOTATIONS, ids=list(evidence_ids))
        return {EvidenceId(row.id): Quotation(row.text, row.in_document) for row in rows}

    def documents(self, extraction_ids: Sequence[ExtractionId]) -> Mapping[ExtractionId, tuple[DocumentId, str]]:
        """The document of each extraction, and its name."""
        rows = self._rows(statements.DOCUMENTS, ids=list(extraction_ids))
        return {ExtractionId(row.id): (DocumentId(row.document_id), row.name) for row in rows}

    def _count(self, kind: EntryKind, model: str) -> int:
        if model not in self._counts:
            entities, passages = self._rows(statements.COUNT, model=model)[0]
            self._counts[model] = (entities, passages)
        entities, passages = self._counts[model]
        return entities if kind is EntryKind.ENTITY else passages

    def _rows(self, statement: TextClause, **given: object) -> Sequence[Any]:
        return self._session.execute(statement, {"organization_id": self._organization_id, **given}).all()


def _written(vector: Vector) -> str:
    return f"[{','.join(map(repr, vector))}]"


def _hits(rows: Sequence[Any], limit: int) -> tuple[EntryHit, ...]:
    """The rows as hits in their order, of each text one that leads to all that its copies lead to."""
    found: dict[str, EntryHit] = {}
    for said, digest, targets, start, end, extraction_id, score in rows:
        span = None if start is None else Span(start, end)
        hit = EntryHit(said, tuple(targets), span, ExtractionId(extraction_id), float(score))
        first = found.get(digest)
        if first is not None:
            both = tuple(dict.fromkeys((*first.targets, *hit.targets)))
            hit = EntryHit(first.text, both, first.span, first.extraction_id, first.score)
        found[digest] = hit
    return tuple(found.values())[:limit]


def _link(row: Any) -> Link:
    target = None if row.object_id is None else EntityId(row.object_id)
    literal = () if row.literal_lexical is None else (row.literal_lexical, row.literal_surface)
    return Link(RelationId(row.id), EntityId(row.subject_id), row.predicate, target, row.confidence, literal)


def _fact(
    row: Any,
    ends: Mapping[EntityId, FactEnd],
    labels: Mapping[str, str],
    evidence: Sequence[FactEvidence],
) -> Fact:
    literal = None
    if row.literal_lexical is not None:
        literal = Literal(row.literal_lexical, row.literal_datatype, row.literal_surface)
    return Fact(
        id=RelationId(row.id),
        extraction_id=ExtractionId(row.extraction_id),
        document_id=DocumentId(row.document_id),
        document_name=row.name,
        subject=ends[EntityId(row.subject_id)],
        predicate=row.predicate,
        predicate_label=labels.get(row.predicate, row.predicate),
        object=None if row.object_id is None else ends[EntityId(row.object_id)],
        literal=literal,
        confidence=row.confidence,
        evidence=tuple(evidence),
    )
