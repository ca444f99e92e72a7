"""Links between entities of an organisation's documents, found as documents come in."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Index, and_, bindparam, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from knowledge.domain import Entity
from knowledge.errors import NotFound
from knowledge.ids import EntityId, EntityNameId, ExecutionId, ExtractionId, LinkId, OrganizationId
from knowledge.linking import (
    Described,
    EntityLink,
    LinkStatus,
    is_called_alike,
    is_whole_name,
    judge,
    keys_of,
    sought_by,
)
from knowledge.stages.names import folded_name
from tables.base import OrgTable, table_of, within_organization
from tables.bulk import upsert
from tables.graph import EntityRow, ExtractionRow
from tables.session import Database

# A name that so many entities share (a country's) tells nothing; the first ones, which are linked in turn, will do.
_MOST_CANDIDATES = 20
_NAMESAKES_KEY = "namesakes"
"""Kept among the keys of an entity whose document's graph has another entity of one of its names."""
PERSON = "person"
_DATE_TYPES = ("date", "dateTime", "gYear", "gYearMonth")


class EntityNameRow(OrgTable):
    """A key under which an entity is looked for when another document's entities want to know whom they may be."""

    __tablename__ = "entity_name"
    __table_args__ = (
        within_organization("entity_id", "entity", cascade=True),
        Index(None, "organization_id", "key", "created_at", "id"),
        Index(None, "organization_id", "entity_id"),
    )

    id: Mapped[EntityNameId] = mapped_column(primary_key=True)
    entity_id: Mapped[EntityId]
    key: Mapped[str]


class EntityLinkRow(OrgTable):
    """That two entities are one thing, why, and whether that holds. Goes with either of the two."""

    __tablename__ = "entity_link"
    __table_args__ = (
        within_organization("entity_id", "entity", cascade=True),
        within_organization("other_id", "entity", cascade=True),
        Index(None, "organization_id", "entity_id"),
        Index(None, "organization_id", "other_id"),
    )

    id: Mapped[LinkId] = mapped_column(primary_key=True)
    entity_id: Mapped[EntityId]
    other_id: Mapped[EntityId]
    score: Mapped[float]
    reasons: Mapped[tuple[str, ...]]
    status: Mapped[LinkStatus]
    decided_by: Mapped[str] = mapped_column(server_default="")
    """A model, or `PERSON`; empty where rules alone speak."""


def link_entities(
    database: Database, organization_id: OrganizationId, extraction_id: ExtractionId, execution_id: ExecutionId
) -> int:
    """Links a published extraction's entities to those of other documents; the number of links that are new or changed.

    Each is compared with those that share a key with it, found by index. Links that somebody undid stay undone.

    Raises:
        NotFound: this organisation has no such extraction.
        StoreUnavailable: the database did not answer; nothing has changed.
    """
    with database.org_session(organization_id) as session:
        if session.get(ExtractionRow, (organization_id, extraction_id)) is None:
            raise NotFound("extraction", extraction_id)
        own = _own_ids(session, extraction_id)
        keys = {entity.id: keys_of(entity) for entity in _entities(session, own).values()}
        _write_keys(session, organization_id, keys, execution_id)
        candidates = _called_alike(session, _candidates(session, extraction_id, keys))
        described = describe(session, {end for pair in candidates for end in pair})
        judged = (judge(described[entity], described[other]) for entity, other in candidates)
        links = {link.id: link for link in judged if link is not None}
        return write_links(session, organization_id, links.values(), execution_id)


def _own_ids(session: Session, extraction_id: ExtractionId) -> list[EntityId]:
    return list(session.scalars(select(EntityRow.id).where(EntityRow.extraction_id == extraction_id)))


def _write_keys(
    session: Session,
    organization_id: OrganizationId,
    keys: Mapping[EntityId, frozenset[str]],
    execution_id: ExecutionId,
) -> None:
    times = Counter(key for own in keys.values() for key in own)
    namesakes = {id_ for id_, own in keys.items() if any(times[key] > 1 and is_whole_name(key) for key in own)}
    rows = [
        {
            "organization_id": organization_id,
            "id": EntityNameId.derive(entity_id, key),
            "entity_id": entity_id,
            "key": key,
            "source": str(execution_id),
        }
        for entity_id, own in keys.items()
        for key in sorted((*own, *((_NAMESAKES_KEY,) if entity_id in namesakes else ())))
    ]
    table = table_of(EntityNameRow)
    upsert(
        session, table, rows, key=("organization_id", "id"), keep=("source",), unless=lambda new: table.c.key == new.key
    )


def _candidates(
    session: Session, extraction_id: ExtractionId, keys: Mapping[EntityId, frozenset[str]]
) -> list[tuple[EntityId, EntityId]]:
    """Pairs of the extraction's entities and others', of other documents, who have a key that they seek; sorted."""
    # OFFSET 0 keeps the planner from joining by something else than ids, as it does before it has statistics.
    query = text(
        """
        SELECT DISTINCT own.entity_id, other.entity_id
        FROM unnest(CAST(:ids AS text[]), CAST(:sought AS text[])) AS own(entity_id, key)
        CROSS JOIN LATERAL (
            SELECT near.entity_id FROM knowledge.entity_name near
            CROSS JOIN LATERAL (
                SELECT theirs.extraction_id FROM knowledge.entity theirs WHERE theirs.id = near.entity_id OFFSET 0
            ) theirs
            CROSS JOIN LATERAL (
                SELECT FROM knowledge.extraction there
                WHERE there.id = theirs.extraction_id AND there.deleted_at IS NULL AND there.document_id <> :document
                OFFSET 0
            ) there
            WHERE near.key = own.key
            ORDER BY near.created_at, near.id LIMIT :most
        ) other
        ORDER BY 1, 2
        """
    )
    document = session.scalar(select(ExtractionRow.document_id).where(ExtractionRow.id == extraction_id))
    sought = [(entity_id, key) for entity_id, own in keys.items() for key in sorted(sought_by(own))]
    parameters = {
        "ids": [id_ for id_, _ in sought],
        "sought": [key for _, key in sought],
        "document": document,
        "most": _MOST_CANDIDATES,
    }
    return [(EntityId(row[0]), EntityId(row[1])) for row in session.execute(query, parameters)]


def _called_alike(session: Session, pairs: Sequence[tuple[EntityId, EntityId]]) -> Sequence[tuple[EntityId, EntityId]]:
    """Of the pairs those of which a link may come. What a name shares keys with is many times what it is like."""
    entities = _entities(session, {end for pair in pairs for end in pair})
    return [(one, other) for one, other in pairs if is_called_alike(entities[one], entities[other])]


def _entities(session: Session, ids: Iterable[EntityId]) -> dict[EntityId, Entity]:
    table = table_of(EntityRow)
    query = select(table.c.id, table.c.label, table.c.classes, table.c.aliases).where(
        table.c.id == text("ANY(:ids)").bindparams(bindparam("ids", sorted(map(str, ids))))
    )
    return {row.id: Entity(row.id, row.label, row.classes, row.aliases) for row in session.execute(query)}


def describe(session: Session, ids: set[EntityId]) -> dict[EntityId, Described]:
    """The entities with what their documents say of them."""
    entities = _entities(session, ids)
    facts: defaultdict[EntityId, set[tuple[str, str]]] = defaultdict(set)
    dates: defaultdict[EntityId, set[tuple[str, str]]] = defaultdict(set)
    for entity_id, predicate, name, value, datatype in _facts(session, ids):
        said = (predicate, folded_name(name) if value is None else value)
        facts[entity_id].add(said)
        if datatype is not None and datatype.rpartition("#")[2] in _DATE_TYPES:
            dates[entity_id].add(said)
    namesakes = _namesakes(session, ids)
    return {
        id_: Described(entity, frozenset(facts[id_]), frozenset(dates[id_]), id_ in namesakes)
        for id_, entity in entities.items()
    }


def _facts(session: Session, ids: set[EntityId]) -> Iterable[tuple[EntityId, str, str, str | None, str | None]]:
    """Entity, predicate (inverse ones with a caret), name of the other end, lexical form and datatype of the value."""
    # OFFSET 0: as above.
    query = text(
        """
        SELECT r.subject_id, r.predicate, o.label, r.literal_lexical, r.literal_datatype
        FROM unnest(CAST(:ids AS text[])) AS own(id)
        CROSS JOIN LATERAL (SELECT * FROM knowledge.relation r WHERE r.subject_id = own.id OFFSET 0) r
        LEFT JOIN LATERAL (SELECT o.label FROM knowledge.entity o WHERE o.id = r.object_id OFFSET 0) o ON true
        UNION ALL
        SELECT r.object_id, '^' || r.predicate, s.label, NULL, NULL
        FROM unnest(CAST(:ids AS text[])) AS own(id)
        CROSS JOIN LATERAL (SELECT * FROM knowledge.relation r WHERE r.object_id = own.id OFFSET 0) r
        CROSS JOIN LATERAL (SELECT s.label FROM knowledge.entity s WHERE s.id = r.subject_id OFFSET 0) s
        """
    )
    for row in session.execute(query, {"ids": sorted(map(str, ids))}):
        yield EntityId(row[0]), row[1], row[2] or "", row[3], row[4]


def _namesakes(session: Session, ids: set[EntityId]) -> set[EntityId]:
    """Those that share their document's graph with another entity that has one of their names, as was noted then."""
    query = text("SELECT entity_id FROM knowledge.entity_name WHERE key = :namesakes AND entity_id = ANY(:ids)")
    return set(session.scalars(query, {"ids": sorted(map(str, ids)), "namesakes": _NAMESAKES_KEY}))


def write_links(
    session: Session,
    organization_id: OrganizationId,
    links: Iterable[EntityLink],
    execution_id: ExecutionId,
    decided_by: str = "",
) -> int:
    """Writes links that rules make, or that somebody has decided; how many are new or changed.

    What was decided before, or undone, stays.
    """
    rows = [
        {
            "organization_id": organization_id,
            "id": link.id,
            "entity_id": link.entity_id,
            "other_id": link.other_id,
            "score": link.score,
            "reasons": link.reasons,
            "status": link.status,
            "decided_by": decided_by,
            "source": str(execution_id),
        }
        for link in sorted(links, key=lambda link: link.id)
    ]
    if not rows:
        return 0
    table = table_of(EntityLinkRow)
    statement = insert(table)
    new = statement.excluded
    changing = ("score", "reasons", "status", "decided_by")
    is_open = (table.c.decided_by == "") & (table.c.status != LinkStatus.UNDONE)
    differs = or_(*(table.c[name] != getattr(new, name) for name in ("score", "reasons", "decided_by")))
    statement = statement.on_conflict_do_update(
        index_elements=["organization_id", "id"],
        set_={name: getattr(new, name) for name in changing},
        where=is_open & differs,
    )
    return len(session.execute(statement.returning(table.c.id), rows).all())


def load_links(
    database: Database, organization_id: OrganizationId, status: LinkStatus | None = None
) -> tuple[EntityLink, ...]:
    """The organisation's links, or those of one status, the surest first; not those to what has been retracted.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    row = EntityLinkRow
    query = select(row.id, row.entity_id, row.other_id, row.score, row.reasons, row.status)
    for end in (row.entity_id, row.other_id):
        entity = aliased(EntityRow)
        query = query.join(
            entity,
            and_(entity.organization_id == row.organization_id, entity.id == end, entity.deleted_at.is_(None)),
        )
    if status is not None:
        query = query.where(row.status == status)
    with database.org_session(organization_id) as session:
        rows = session.execute(query.order_by(row.score.desc(), row.id)).all()
    return tuple(EntityLink(*found) for found in rows)


def entity_labels(database: Database, organization_id: OrganizationId, ids: Iterable[EntityId]) -> dict[EntityId, str]:
    """The label of each entity that the organisation has.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    with database.org_session(organization_id) as session:
        return {entity.id: entity.label for entity in _entities(session, ids).values()}


def set_link_status(database: Database, organization_id: OrganizationId, link_id: LinkId, status: LinkStatus) -> None:
    """Accepts a link or undoes it, for good: reading the documents again does not bring it back.

    Raises:
        NotFound: the organisation has no such link.
        StoreUnavailable: the database did not answer.
    """
    row = EntityLinkRow
    statement = update(row).where(row.organization_id == organization_id, row.id == link_id)
    statement = statement.values(status=status, decided_by=PERSON)
    with database.org_session(organization_id) as session:
        if not session.execute(statement.returning(row.id)).all():
            raise NotFound("link", link_id)
