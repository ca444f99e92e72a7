"""Links between entities of an organisation's documents, found as documents come in."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from sqlalchemy import JSON, ColumnElement, Index, and_, bindparam, or_, select, text, update
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from knowledge.domain import Entity
from knowledge.errors import NotFound
from knowledge.ids import DocumentId, EntityId, EntityNameId, ExecutionId, ExtractionId, LinkId, OrganizationId
from knowledge.linking import (
    Described,
    EntityLink,
    LinkStatus,
    called_alike,
    is_whole_name,
    judge,
    keys_of,
    sought_by,
)
from knowledge.stages.names import folded_name
from tables.base import OrgTable, table_of, within_extraction, within_organization
from tables.bulk import Columns, insert_new, upsert
from tables.graph import EntityRow, ExtractionRow
from tables.session import Database

# A name that so many entities share (a country's) tells nothing; the first ones, which are linked in turn, will do.
_MOST_CANDIDATES = 20
_NAMESAKES_KEY = "namesakes"
"""Kept among the keys of an entity whose document's graph has another entity of one of its names."""
PERSON = "person"
_DATE_TYPES = ("date", "dateTime", "gYear", "gYearMonth")


# What is sought is one text, in which ids are parted by spaces: an array's items would be quoted one by one.
# By index from each: OFFSET 0 keeps the planner from joining by something else, as it does before it has statistics.
_CANDIDATES = text(
    """
    SELECT own.key, ARRAY(
        SELECT near.entity_id FROM knowledge.entity_name near
        WHERE near.organization_id = :organization_id AND near.key = own.key AND near.deleted_at IS NULL
            AND near.extraction_id <> ALL(:of_document)
        ORDER BY near.created_at, near.id LIMIT :most
    )
    FROM json_array_elements_text(:keys) AS own(key)
    """
).bindparams(bindparam("keys", type_=JSON))
_ENTITIES = text(
    """
    SELECT e.id, e.label, e.classes, e.aliases FROM unnest(string_to_array(:ids, ' ')) AS wanted(id)
    CROSS JOIN LATERAL (
        SELECT * FROM knowledge.entity e WHERE e.organization_id = :organization_id AND e.id = wanted.id OFFSET 0
    ) e
    """
)
_FACTS = text(
    """
    SELECT e.id, e.facts FROM unnest(string_to_array(:ids, ' ')) AS wanted(id)
    CROSS JOIN LATERAL (
        SELECT * FROM knowledge.entity e WHERE e.organization_id = :organization_id AND e.id = wanted.id OFFSET 0
    ) e
    """
)
_NAMESAKES = text(
    """
    SELECT n.entity_id FROM unnest(string_to_array(:ids, ' ')) AS noted(id)
    CROSS JOIN LATERAL (
        SELECT n.entity_id FROM knowledge.entity_name n
        WHERE n.organization_id = :organization_id AND n.id = noted.id OFFSET 0
    ) n
    """
)


class EntityNameRow(OrgTable):
    """A key under which an entity is looked for when another document's entities want to know whom they may be."""

    __tablename__ = "entity_name"
    __table_args__ = (
        within_extraction("entity_id", "entity"),
        Index(None, "organization_id", "key", "created_at", "id"),
        Index(None, "organization_id", "extraction_id", "entity_id"),
    )

    id: Mapped[EntityNameId] = mapped_column(primary_key=True)
    extraction_id: Mapped[ExtractionId]
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
        # Locked, so that two who link the same take turns and the second finds the names.
        extraction = session.get(ExtractionRow, (organization_id, extraction_id), with_for_update={"key_share": True})
        if extraction is None:
            raise NotFound("extraction", extraction_id)
        own = _entities_of(session, organization_id, extraction_id)
        keys = {entity.id: keys_of(entity) for entity in own.values()}
        _write_keys(session, organization_id, extraction_id, keys, execution_id)
        pairs = _candidates(session, organization_id, extraction.document_id, keys)
        entities = own | entities_by_id(session, organization_id, {other for _, other in pairs})
        alike = called_alike((entities[one], entities[other]) for one, other in pairs)
        described = describe(session, organization_id, {end.id: end for pair in alike for end in pair}.values())
        judged = (judge(described[one.id], described[other.id]) for one, other in alike)
        links = {link.id: link for link in judged if link is not None}
        return write_links(session, organization_id, links.values(), execution_id)


def _entities_of(
    session: Session, organization_id: OrganizationId, extraction_id: ExtractionId
) -> dict[EntityId, Entity]:
    row = EntityRow
    query = select(row.id, row.label, row.classes, row.aliases)
    query = query.where(row.organization_id == organization_id, row.extraction_id == extraction_id)
    return {found.id: Entity(*found) for found in session.execute(query).all()}


def _write_keys(
    session: Session,
    organization_id: OrganizationId,
    extraction_id: ExtractionId,
    keys: Mapping[EntityId, frozenset[str]],
    execution_id: ExecutionId,
) -> None:
    times = Counter(key for own in keys.values() for key in own)
    namesakes = {id_ for id_, own in keys.items() if any(times[key] > 1 and is_whole_name(key) for key in own)}
    rows = [
        {"id": EntityNameId.derive(entity_id, key), "entity_id": entity_id, "key": key}
        for entity_id, own in keys.items()
        for key in sorted((*own, *((_NAMESAKES_KEY,) if entity_id in namesakes else ())))
    ]
    common = {
        "organization_id": organization_id,
        "extraction_id": extraction_id,
        "source": str(execution_id),
        # As the graph does, the names of what was retracted come back.
        "deleted_at": None,
        "deleted_by": None,
    }
    row, table = EntityNameRow, table_of(EntityNameRow)
    known = select(row.id).where(row.organization_id == organization_id, row.extraction_id == extraction_id).limit(1)
    if session.scalar(known) is None:
        insert_new(session, table, rows, common=common)
        return
    upsert(
        session,
        table,
        rows,
        common=common,
        key=("organization_id", "id"),
        keep=("source", "extraction_id", "entity_id", "key"),
        unless=lambda _: table.c.deleted_at.is_(None),
    )


def _candidates(
    session: Session,
    organization_id: OrganizationId,
    document_id: DocumentId,
    keys: Mapping[EntityId, frozenset[str]],
) -> set[tuple[EntityId, EntityId]]:
    """Pairs of the document's entities and others', of other documents, who have a key that they seek."""
    seeking: defaultdict[str, list[EntityId]] = defaultdict(list)
    for entity_id, own in keys.items():
        for key in sought_by(own):
            seeking[key].append(entity_id)
    of_document = select(ExtractionRow.id).where(
        ExtractionRow.organization_id == organization_id, ExtractionRow.document_id == document_id
    )
    parameters = {
        "organization_id": organization_id,
        "keys": sorted(seeking),
        "of_document": list(session.scalars(of_document)),
        "most": _MOST_CANDIDATES,
    }
    found = session.execute(_CANDIDATES, parameters).all()
    ids = {id_: EntityId(id_) for id_ in {id_ for _, others in found for id_ in others}}
    return {(one, ids[other]) for key, others in found for one in seeking[key] for other in others}


def entities_by_id(
    session: Session, organization_id: OrganizationId, ids: Iterable[EntityId]
) -> dict[EntityId, Entity]:
    """Those of the entities that the organisation has."""
    wanted = {id_: id_ for id_ in ids}
    rows = session.execute(_ENTITIES, {"organization_id": organization_id, "ids": " ".join(sorted(wanted))}).all()
    return {
        wanted[id_]: Entity(wanted[id_], label, tuple(classes), tuple(aliases)) for id_, label, classes, aliases in rows
    }


def describe(
    session: Session, organization_id: OrganizationId, entities: Iterable[Entity]
) -> dict[EntityId, Described]:
    """The entities with what their documents say of them."""
    by_id = {entity.id: entity for entity in entities}
    parameters = {"organization_id": organization_id, "ids": " ".join(sorted(by_id))}
    facts: dict[str, list[tuple[str, str, str | None]]] = dict(session.execute(_FACTS, parameters).all())
    namesakes = _namesakes(session, organization_id, by_id)
    return {id_: Described(entity, *_said(facts.get(id_, ())), id_ in namesakes) for id_, entity in by_id.items()}


def _said(
    facts: Iterable[tuple[str, str, str | None]],
) -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
    """What `Described` has of an entity's facts: all of them with names folded, and those that lead to dates."""
    said = ((predicate, value if datatype else folded_name(value)) for predicate, value, datatype in facts)
    dated = ((predicate, value) for predicate, value, datatype in facts if datatype and _is_date(datatype))
    return frozenset(said), frozenset(dated)


def _is_date(datatype: str) -> bool:
    return datatype.rpartition("#")[2] in _DATE_TYPES


def _namesakes(session: Session, organization_id: OrganizationId, ids: Iterable[EntityId]) -> set[str]:
    """Those that share their document's graph with another entity that has one of their names, as was noted then."""
    noted = sorted(EntityNameId.derive(id_, _NAMESAKES_KEY) for id_ in ids)
    return set(session.scalars(_NAMESAKES, {"organization_id": organization_id, "ids": " ".join(noted)}))


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
            "id": link.id,
            "entity_id": link.entity_id,
            "other_id": link.other_id,
            "score": link.score,
            "reasons": link.reasons,
            "status": link.status,
        }
        for link in sorted(links, key=lambda link: link.id)
    ]
    common = {"organization_id": organization_id, "decided_by": decided_by, "source": str(execution_id)}
    table = table_of(EntityLinkRow)

    def stays(new: Columns) -> ColumnElement[bool]:
        differs = or_(*(table.c[name] != new[name] for name in ("score", "reasons", "decided_by")))
        return (table.c.decided_by != "") | (table.c.status == LinkStatus.UNDONE) | ~differs

    key, ends = ("organization_id", "id"), ("entity_id", "other_id")
    return upsert(session, table, rows, common=common, key=key, keep=("source", *ends), unless=stays)


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
        return {id_: entity.label for id_, entity in entities_by_id(session, organization_id, ids).items()}


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
