"""What a chat model may be asked about links: doubtful pairs, the verdicts that are stored, and the links they make."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from knowledge.domain import Extractor
from knowledge.doubtful_links import DoubtfulPair, Surroundings, Verdict, decided, doubtful_pair
from knowledge.ids import EntityId, ExecutionId, ExtractionId, OrganizationId, digest_of
from knowledge.linking import LinkStatus
from tables.graph import ExtractionRow
from tables.links import describe, entities_by_id, write_links
from tables.results import ResultStore
from tables.session import Database

_VERSION = "1"
_NEAREST, LEAST_COSINE = 3, 0.85
"""So many of the nearest vectors are looked at for each entity, if they are as near as that."""
_MOST_COMPARED = 1_000
_MOST_OWN = 40
_CONTEXT_CHARACTERS = 150
# By index from each entity: whoever asks for links of any of them gets the organisation's read through.
_LINKS = text(
    """
    SELECT DISTINCT link.score, link.id, link.entity_id, link.other_id, link.status, link.decided_by
    FROM knowledge.entity own
    CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT * FROM knowledge.entity_link l
            WHERE l.organization_id = :organization_id AND l.entity_id = own.id OFFSET 0
        ) one
        UNION ALL
        SELECT * FROM (
            SELECT * FROM knowledge.entity_link l
            WHERE l.organization_id = :organization_id AND l.other_id = own.id OFFSET 0
        ) other
    ) link
    WHERE own.organization_id = :organization_id AND own.extraction_id = :extraction
    ORDER BY link.score DESC, link.id
    """
)
# Bounded, whatever there is: vectors of the newest extractions, and the entities most often named. The part that is the
# whole vector is a copy: large ones are stored apart, and would be read from there for each comparison.
_NEAR = text(
    """
    WITH pool AS MATERIALIZED (
        SELECT e.entity_id, e.model, e.dimensions, subvector(e.vector, 1, e.dimensions) AS vector FROM (
            SELECT x.id FROM knowledge.extraction x
            WHERE x.organization_id = :organization_id AND x.deleted_at IS NULL AND x.document_id <> :document
            ORDER BY x.created_at DESC, x.id
        ) newest
        CROSS JOIN LATERAL (
            SELECT e.entity_id, e.model, e.dimensions, e.vector FROM knowledge.embedding e
            WHERE e.organization_id = :organization_id AND e.extraction_id = newest.id ORDER BY e.id
        ) e LIMIT :compared
    ), own AS MATERIALIZED (
        SELECT e.entity_id, e.model, e.dimensions, subvector(e.vector, 1, e.dimensions) AS vector
        FROM knowledge.embedding e
        WHERE e.organization_id = :organization_id AND e.extraction_id = :extraction
        ORDER BY (
            SELECT count(*) FROM knowledge.mention m
            WHERE m.organization_id = :organization_id AND m.extraction_id = :extraction AND m.entity_id = e.entity_id
        ) DESC, e.id LIMIT :own
    )
    SELECT own.entity_id, near.entity_id FROM own
    CROSS JOIN LATERAL (
        SELECT compared.* FROM (
            SELECT p.entity_id, p.vector <=> own.vector AS distance FROM pool p
            WHERE p.dimensions = own.dimensions AND p.model = own.model OFFSET 0
        ) compared
        WHERE 1 - compared.distance >= :least ORDER BY compared.distance, compared.entity_id LIMIT :nearest
    ) near
    ORDER BY near.distance, 1, 2
    """
)
_CONTEXTS = text(
    """
    SELECT own.id, substr(d.text, greatest(1, m.span_start + 1 - :around), m.span_end - m.span_start + 2 * :around)
    FROM unnest(CAST(:ids AS text[])) AS own(id)
    CROSS JOIN LATERAL (
        SELECT e.extraction_id FROM knowledge.entity e
        WHERE e.organization_id = :organization_id AND e.id = own.id OFFSET 0
    ) e
    CROSS JOIN LATERAL (
        SELECT m.span_start, m.span_end FROM knowledge.mention m
        WHERE m.organization_id = :organization_id AND m.extraction_id = e.extraction_id AND m.entity_id = own.id
        ORDER BY m.span_start LIMIT 1
    ) m
    CROSS JOIN LATERAL (
        SELECT x.document_id FROM knowledge.extraction x
        WHERE x.organization_id = :organization_id AND x.id = e.extraction_id OFFSET 0
    ) x
    CROSS JOIN LATERAL (
        SELECT d.text FROM knowledge.document d
        WHERE d.organization_id = :organization_id AND d.id = x.document_id OFFSET 0
    ) d
    """
)


def doubtful_pairs(
    database: Database,
    organization_id: OrganizationId,
    extraction_id: ExtractionId,
    names: Mapping[str, str],
    most: int,
) -> tuple[DoubtfulPair, ...]:
    """At most so many of the extraction's doubtful pairs: what rules propose, then what the nearest vectors propose.

    `names` are those of classes and predicates, by IRI. Pairs that are linked, or that somebody has decided, are none.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    with database.org_session(organization_id) as session:
        proposed, known = _linked(session, organization_id, extraction_id)
        # Of three proposals hardly more than one is doubtful; the rest need not be described.
        enough = most * 3
        near = _near(session, organization_id, extraction_id) if len(proposed) < enough else []
        unknown = (pair for pair in near if frozenset(pair) not in known)
        pairs = list(dict.fromkeys((*proposed, *unknown)))[:enough]
        ids = {end for pair in pairs for end in pair}
        described = describe(session, organization_id, entities_by_id(session, organization_id, ids).values())
        around = Surroundings(_contexts(session, organization_id, ids), names)
        found = (doubtful_pair(described[one], described[other], around) for one, other in pairs)
        return tuple({(p.one, p.other): p for p in found if p is not None}.values())[:most]


def _linked(
    session: Session, organization_id: OrganizationId, extraction_id: ExtractionId
) -> tuple[list[tuple[EntityId, EntityId]], set[frozenset[EntityId]]]:
    """The pairs that rules propose, the surest first, and all that there are links of."""
    rows = session.execute(_LINKS, {"organization_id": organization_id, "extraction": extraction_id}).all()
    pairs = [(EntityId(row.entity_id), EntityId(row.other_id)) for row in rows]
    proposed = [
        pair for pair, row in zip(pairs, rows, strict=True) if row.status == LinkStatus.PROPOSED and not row.decided_by
    ]
    return proposed, set(map(frozenset, pairs))


def _near(
    session: Session, organization_id: OrganizationId, extraction_id: ExtractionId
) -> list[tuple[EntityId, EntityId]]:
    document = session.scalar(
        select(ExtractionRow.document_id).where(
            ExtractionRow.organization_id == organization_id, ExtractionRow.id == extraction_id
        )
    )
    given = {"organization_id": organization_id, "extraction": extraction_id, "document": document}
    bounds = {"nearest": _NEAREST, "least": LEAST_COSINE, "compared": _MOST_COMPARED, "own": _MOST_OWN}
    return [(EntityId(row[0]), EntityId(row[1])) for row in session.execute(_NEAR, {**given, **bounds})]


def _contexts(session: Session, organization_id: OrganizationId, ids: set[EntityId]) -> dict[EntityId, str]:
    given = {"organization_id": organization_id, "ids": sorted(map(str, ids)), "around": _CONTEXT_CHARACTERS}
    return {EntityId(row[0]): row[1] for row in session.execute(_CONTEXTS, given)}


class KeptVerdicts:
    """Verdicts by content: the same model is not asked twice about a pair of which it is shown the same."""

    def __init__(self, database: Database, organization_id: OrganizationId) -> None:
        self._results = ResultStore(database)
        self._organization_id = organization_id

    def find(self, by: Extractor, pairs: Sequence[DoubtfulPair]) -> dict[DoubtfulPair, Verdict]:
        """The verdicts that are stored.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        keys = {self._key(by, pair): pair for pair in pairs}
        stored = self._results.read_many(self._organization_id, keys)
        return {keys[key]: _verdict(payload) for key, payload in stored.items()}

    def keep(self, by: Extractor, verdicts: Mapping[DoubtfulPair, Verdict]) -> None:
        """Stores verdicts, all or none, those without use too.

        Raises:
            ResultNotPersisted: they could not be stored.
        """
        payloads = {self._key(by, pair): json.dumps(asdict(said)).encode() for pair, said in verdicts.items()}
        self._results.write_many(self._organization_id, payloads)

    def _key(self, by: Extractor, pair: DoubtfulPair) -> str:
        digest = digest_of(_VERSION, by.digest, *pair.one_lines, "", *pair.other_lines)
        return f"{self._organization_id}/link/{digest}"


def _verdict(payload: bytes) -> Verdict:
    said = json.loads(payload)
    first, second = said["evidence"]
    return Verdict(said["same"], said["reason"], (first, second))


def write_verdicts(
    database: Database,
    organization_id: OrganizationId,
    verdicts: Mapping[DoubtfulPair, Verdict],
    model: str,
    execution_id: ExecutionId,
) -> int:
    """Writes the links that the verdicts make; how many are new or changed. What a person decided stays.

    Raises:
        StoreUnavailable: the database did not answer; nothing has changed.
    """
    links = [link for pair, said in verdicts.items() if (link := decided(pair, said, model)) is not None]
    with database.org_session(organization_id) as session:
        return write_links(session, organization_id, links, execution_id, decided_by=model)
