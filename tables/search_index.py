"""The search index of an organisation, as indexing writes it."""

from collections.abc import Mapping, Sequence

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Text,
    all_,
    any_,
    bindparam,
    delete,
    false,
    func,
    select,
    text,
    true,
    update,
)
from sqlalchemy.orm import Session

from knowledge.domain import KnowledgeGraph
from knowledge.ids import EntryId, ExtractionId, OrganizationId, SegmentId, TermId
from knowledge.ontology import Ontology, load_ontology
from knowledge.search.embedding import IndexedModel, IndexRefused, Vector
from knowledge.search.entries import Entry, SegmentContent
from knowledge.search.indexing import Unindexed
from knowledge.search.kinds import EntryKind, TermKind
from tables.base import SCHEMA, table_of
from tables.bulk import Columns, upsert
from tables.documents import load_ontology_source
from tables.graph_store import LatestExtraction, latest_extractions, load_graph
from tables.search import EntryRow, SegmentRow, TermRow
from tables.session import Database
from tables.storable import storable_text

# PostgreSQL's own parser, stemmer and stop words make the terms; the same make those of a question.
WORDS_CONFIGURATION = "english"
_ADD_WORDS = text(
    f"""
    INSERT INTO {SCHEMA}.search_term (organization_id, id, segment_id, kind, term, positions)
    SELECT e.organization_id, '{TermId.prefix}_' || left(encode(sha256(convert_to(e.segment_id || l.lexeme, 'utf8')),
        'hex'), 32), e.segment_id, '{TermKind.WORD}', l.lexeme, array_agg(e.position ORDER BY e.position)
    FROM {SCHEMA}.search_entry e
    CROSS JOIN LATERAL unnest(to_tsvector('{WORDS_CONFIGURATION}', e.text)) AS l
    WHERE e.organization_id = :organization_id AND e.segment_id = :segment_id AND e.kind = '{EntryKind.PASSAGE}'
    GROUP BY e.organization_id, e.segment_id, l.lexeme
    """
)


class SearchIndexStore:
    """Implements `knowledge.search.indexing.IndexStore` on the tables."""

    def __init__(self, database: Database, organization_id: OrganizationId) -> None:
        self._database = database
        self._organization_id = organization_id

    @property
    def organization_id(self) -> OrganizationId:
        """Whose index it is."""
        return self._organization_id

    def models(self) -> tuple[IndexedModel, ...]:
        """The models whose vectors the index holds, sorted by name; complete where all extractions have a segment."""
        with self._database.org_session(self._organization_id) as session:
            return indexed_models(session, self._organization_id)

    def unindexed(self, model: str) -> tuple[Unindexed, ...]:
        """The latest extractions that are not, or not as last executed, complete under `model`; sorted."""
        latest = {found.extraction_id: found.execution_id for found in self._latest()}
        query = select(SegmentRow.extraction_id, SegmentRow.execution_id).where(
            SegmentRow.organization_id == self._organization_id, SegmentRow.model == model, SegmentRow.complete
        )
        with self._database.org_session(self._organization_id) as session:
            present = {row.extraction_id: row.execution_id for row in session.execute(query)}
        return tuple(Unindexed(found, latest[found]) for found in sorted(latest) if present.get(found) != latest[found])

    def load(self, extraction_id: ExtractionId) -> tuple[KnowledgeGraph, Ontology]:
        """The published graph, and the ontology it was read with."""
        graph = load_graph(self._database, self._organization_id, extraction_id)
        source = load_ontology_source(self._database, self._organization_id, graph.ontology_id)
        return graph, load_ontology(source.content, source.name)

    def known(self, model: str, digests: Sequence[str]) -> Mapping[str, Vector]:
        """The vectors under `model` that the index has of these texts."""
        wanted = bindparam("wanted", list(digests), type_=ARRAY(Text))
        query = select(EntryRow.text_digest, EntryRow.vector).where(
            EntryRow.organization_id == self._organization_id,
            EntryRow.model == model,
            EntryRow.text_digest == any_(wanted),
        )
        with self._database.org_session(self._organization_id) as session:
            return {row.text_digest: row.vector for row in session.execute(query)}

    def begin(self, found: Unindexed, model: str, dimensions: int, content: SegmentContent) -> SegmentId:
        """A segment for the extraction; an earlier one that differs from `content` loses its entries.

        Raises:
            IndexRefused: the model has vectors of other dimensions in this index.
        """
        segment_id = SegmentId.derive(found.extraction_id, model)
        with self._database.org_session(self._organization_id) as session:
            self._take_turns(session)
            self._refuse_other_dimensions(session, model, dimensions)
            self._remove_differing(session, segment_id, content)
            row: dict[str, object] = {
                "organization_id": self._organization_id,
                "id": segment_id,
                "extraction_id": found.extraction_id,
                "execution_id": found.execution_id,
                "model": model,
                "dimensions": dimensions,
                "entities": content.count(EntryKind.ENTITY),
                "passages": content.count(EntryKind.PASSAGE),
                "complete": False,
            }
            upsert(session, table_of(SegmentRow), [row], key=_KEY, keep=(), unless=_never)
        return segment_id

    def add(self, segment_id: SegmentId, entries: Sequence[tuple[Entry, Vector]], model: str) -> None:
        """Writes entries; those that are there already stay."""
        rows = [self._row(segment_id, entry, vector, model) for entry, vector in entries]
        with self._database.org_session(self._organization_id) as session:
            upsert(session, table_of(EntryRow), rows, key=_KEY, keep=(), unless=_always)

    def finish(self, segment_id: SegmentId, content: SegmentContent) -> None:
        """Writes the segment's names and words: it is complete."""
        owner = {"organization_id": self._organization_id, "segment_id": segment_id}
        names: list[dict[str, object]] = [
            {
                **owner,
                "id": TermId.derive(segment_id, TermKind.NAME, name),
                "kind": TermKind.NAME.value,
                "term": storable_text(name),
                "positions": list(positions),
            }
            for name, positions in content.names.items()
        ]
        mine = (SegmentRow.organization_id == self._organization_id, SegmentRow.id == segment_id)
        with self._database.org_session(self._organization_id) as session:
            session.execute(
                delete(TermRow).where(
                    TermRow.organization_id == self._organization_id, TermRow.segment_id == segment_id
                )
            )
            upsert(session, table_of(TermRow), names, key=_KEY, keep=(), unless=_always)
            session.execute(_ADD_WORDS, owner)
            session.execute(update(SegmentRow).where(*mine).values(complete=True))

    def remove_superseded(self, model: str | None) -> int:
        """Removes segments of extractions that are not the latest, and with `model` those of others; how many."""
        latest = bindparam("latest", sorted(found.extraction_id for found in self._latest()), type_=ARRAY(Text))
        superseded = SegmentRow.extraction_id != all_(latest)
        query = (
            delete(SegmentRow)
            .where(
                SegmentRow.organization_id == self._organization_id,
                superseded if model is None else superseded | (SegmentRow.model != model),
            )
            .returning(SegmentRow.id)
        )
        with self._database.org_session(self._organization_id) as session:
            return len(session.execute(query).all())

    def _latest(self) -> tuple[LatestExtraction, ...]:
        return latest_extractions(self._database, self._organization_id)

    def _take_turns(self, session: Session) -> None:
        """Two processes that index one organisation at once agree on the model and its dimensions."""
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"search {self._organization_id}", 0))))

    def _refuse_other_dimensions(self, session: Session, model: str, dimensions: int) -> None:
        present = indexed_models(session, self._organization_id)
        others = [one for one in present if one.model == model and one.dimensions != dimensions]
        if others:
            raise IndexRefused(self._organization_id, others, f"{model} ({dimensions} dimensions)")

    def _remove_differing(self, session: Session, segment_id: SegmentId, content: SegmentContent) -> None:
        mine = (EntryRow.organization_id == self._organization_id, EntryRow.segment_id == segment_id)
        wanted = {(e.position, e.digest, e.targets) for e in content.entries}
        stored = session.execute(select(EntryRow.position, EntryRow.text_digest, EntryRow.targets).where(*mine))
        differing = [row.position for row in stored if (row.position, row.text_digest, row.targets) not in wanted]
        if differing:
            listed = bindparam("differing", differing, type_=ARRAY(Integer))
            session.execute(delete(EntryRow).where(*mine, EntryRow.position == any_(listed)))

    def _row(self, segment_id: SegmentId, entry: Entry, vector: Vector, model: str) -> dict[str, object]:
        return {
            "organization_id": self._organization_id,
            "id": EntryId.derive(segment_id, str(entry.position)),
            "segment_id": segment_id,
            "position": entry.position,
            "kind": entry.kind.value,
            "text": storable_text(entry.text),
            "text_digest": entry.digest,
            "targets": list(entry.targets),
            "span_start": entry.span and entry.span.start,
            "span_end": entry.span and entry.span.end,
            "model": model,
            "dimensions": len(vector),
            "vector": vector,
        }


_KEY = ("organization_id", "id")


def _always(offered: Columns) -> ColumnElement[bool]:
    return true()


def _never(offered: Columns) -> ColumnElement[bool]:
    return false()


def indexed_models(session: Session, organization_id: OrganizationId) -> tuple[IndexedModel, ...]:
    """The models whose vectors the index holds, sorted by name; complete where all its extractions have a segment."""
    mine = SegmentRow.organization_id == organization_id
    total = select(func.count(SegmentRow.extraction_id.distinct())).where(mine).scalar_subquery()
    complete = func.count().filter(SegmentRow.complete)
    counts = (
        select(SegmentRow.model, SegmentRow.dimensions, complete, complete >= total)
        .where(mine)
        .group_by(SegmentRow.model, SegmentRow.dimensions)
        .order_by(SegmentRow.model)
    )
    return tuple(IndexedModel(*row) for row in session.execute(counts))
