"""The SQL by which search reads an organisation's index and graph. Every statement names the organisation.

Row security would hold without that; with it, the indexes that begin with the organisation are used.
"""

from sqlalchemy import TextClause, text

from knowledge.search.kinds import EntryKind, TermKind
from tables.base import SCHEMA
from tables.search_index import WORDS_CONFIGURATION

_MAX_NAMESAKES = 500

TUNE = text(
    "SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', :ef_search, true), "
    "set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true)"
)
# One name after the other, fenced by OFFSET: of an index that was just written the planner knows nothing yet, and would
# read all of the organisation's entries for each name.
NAMED = text(
    f"""
    SELECT t.term, e.target FROM (
        SELECT term, segment_id, unnest(positions) AS position FROM {SCHEMA}.search_term
        WHERE organization_id = :organization_id AND kind = '{TermKind.NAME}' AND term = ANY(:keys) ORDER BY 1, 2, 3
        LIMIT {_MAX_NAMESAKES}
    ) t CROSS JOIN LATERAL (
        SELECT targets[1] AS target, model FROM {SCHEMA}.search_entry
        WHERE organization_id = :organization_id AND segment_id = t.segment_id AND position = t.position OFFSET 0
    ) e
    WHERE e.model = :model ORDER BY t.term, e.target
    """
)
# The labels of a predicate come in the order of its ontology, the preferred one first.
PREDICATES = text(
    f"""
    WITH used AS (
        SELECT targets[1] AS iri, text, min(position) AS place, min(id) AS id FROM {SCHEMA}.search_entry
        WHERE organization_id = :organization_id AND model = :model AND kind = '{EntryKind.PREDICATE}'
        GROUP BY targets[1], text
    )
    SELECT used.iri, used.text, 1 - (e.vector <=> CAST(:vector AS vector)) FROM used
    JOIN {SCHEMA}.search_entry e ON e.organization_id = :organization_id AND e.id = used.id
    ORDER BY used.iri, used.place
    """
)
COUNT = text(
    f"""
    SELECT coalesce(sum(entities), 0), coalesce(sum(passages), 0) FROM {SCHEMA}.search_segment
    WHERE organization_id = :organization_id AND model = :model
    """
)
EXACTLY = text(
    f"""
    SELECT e.text, e.text_digest, e.targets, e.span_start, e.span_end, s.extraction_id, found.cosine FROM (
        SELECT id, 1 - (vector <=> CAST(:vector AS vector)) AS cosine FROM {SCHEMA}.search_entry
        WHERE organization_id = :organization_id AND model = :model AND kind = :kind
        ORDER BY vector <=> CAST(:vector AS vector) LIMIT :rows
    ) found
    JOIN {SCHEMA}.search_entry e ON e.organization_id = :organization_id AND e.id = found.id
    JOIN {SCHEMA}.search_segment s ON s.organization_id = e.organization_id AND s.id = e.segment_id
    ORDER BY found.cosine DESC, e.id
    """
)
# The rarest words bring up the passages, the others only add to those: "director" is in a fifth of all sentences.
WORDED = text(
    f"""
    WITH asked AS MATERIALIZED (
        SELECT t.term, t.segment_id, t.positions FROM {SCHEMA}.search_term t
        WHERE t.organization_id = :organization_id AND t.kind = '{TermKind.WORD}'
            AND t.term = ANY(tsvector_to_array(to_tsvector('{WORDS_CONFIGURATION}', :question)))
    ), counted AS (
        SELECT term, sum(cardinality(positions)) AS passages, row_number() OVER (ORDER BY sum(cardinality(positions)))
            AS rarity, sum(sum(cardinality(positions))) OVER (ORDER BY sum(cardinality(positions)), term) AS so_far
        FROM asked GROUP BY term
    ), weighted AS MATERIALIZED (
        SELECT term, ln(1 + CAST(:passages AS float) / passages) AS weight,
            so_far <= :postings OR rarity = 1 AS is_rare FROM counted
    ), brought_up AS MATERIALIZED (
        SELECT segment_id, position, sum(weight) AS score FROM (
            SELECT a.segment_id, p.position, w.weight FROM asked a JOIN weighted w USING (term)
            CROSS JOIN LATERAL unnest(a.positions) AS p(position) WHERE w.is_rare LIMIT :postings
        ) rare GROUP BY 1, 2
    ), found AS (
        SELECT b.segment_id, b.position, b.score + coalesce(sum(w.weight), 0) AS score FROM brought_up b
        LEFT JOIN (asked a JOIN weighted w ON w.term = a.term AND NOT w.is_rare)
            ON a.segment_id = b.segment_id AND b.position = ANY(a.positions)
        GROUP BY b.segment_id, b.position, b.score ORDER BY 3 DESC, 1, 2 LIMIT :rows
    )
    SELECT e.text, e.text_digest, e.targets, e.span_start, e.span_end, s.extraction_id, found.score FROM found
    JOIN {SCHEMA}.search_entry e ON e.organization_id = :organization_id AND e.segment_id = found.segment_id
        AND e.position = found.position
    JOIN {SCHEMA}.search_segment s ON s.organization_id = e.organization_id AND s.id = e.segment_id
    WHERE e.model = :model ORDER BY found.score DESC, length(e.text), e.id
    """
)
LINKS = text(
    f"""
    SELECT id, subject_id, predicate, object_id, confidence, literal_lexical, literal_surface FROM {SCHEMA}.relation
    WHERE organization_id = :organization_id AND id = ANY(:ids) AND deleted_at IS NULL
    """
)
LINKS_OF = text(
    f"""
    WITH at AS (
        SELECT id, subject_id, predicate, object_id, confidence, literal_lexical, literal_surface FROM {SCHEMA}.relation
        WHERE organization_id = :organization_id AND subject_id = ANY(:ids) AND deleted_at IS NULL
        UNION
        SELECT id, subject_id, predicate, object_id, confidence, literal_lexical, literal_surface FROM {SCHEMA}.relation
        WHERE organization_id = :organization_id AND object_id = ANY(:ids) AND deleted_at IS NULL
    )
    SELECT at.* FROM at
    LEFT JOIN unnest(CAST(:predicates AS text[]), CAST(:fits AS float[])) AS p(iri, fit) ON p.iri = at.predicate
    ORDER BY coalesce(p.fit, 0) DESC, at.confidence DESC, at.id LIMIT :limit
    """
)
ENTITIES = text(
    f"""
    SELECT id, label, aliases, classes FROM {SCHEMA}.entity
    WHERE organization_id = :organization_id AND id = ANY(:ids) AND deleted_at IS NULL
    """
)
FACTS = text(
    f"""
    SELECT r.id, r.subject_id, r.predicate, r.object_id, r.literal_lexical, r.literal_datatype, r.literal_surface,
        r.confidence, r.extraction_id, x.document_id, d.name
    FROM {SCHEMA}.relation r
    JOIN {SCHEMA}.extraction x ON x.organization_id = r.organization_id AND x.id = r.extraction_id
    JOIN {SCHEMA}.document d ON d.organization_id = x.organization_id AND d.id = x.document_id
    WHERE r.organization_id = :organization_id AND r.id = ANY(:ids) AND r.deleted_at IS NULL
    """
)
EVIDENCE = text(
    f"""
    SELECT v.relation_id, v.id, v.span_start, v.span_end, v.text FROM {SCHEMA}.relation r
    JOIN {SCHEMA}.relation_evidence v ON v.organization_id = r.organization_id
        AND v.extraction_id = r.extraction_id AND v.relation_id = r.id
    WHERE r.organization_id = :organization_id AND r.id = ANY(:ids) ORDER BY v.relation_id, v.position
    """
)
QUOTATIONS = text(
    f"""
    SELECT v.id, v.text, substr(d.text, v.span_start + 1, v.span_end - v.span_start) AS in_document
    FROM {SCHEMA}.relation_evidence v
    JOIN {SCHEMA}.extraction x ON x.organization_id = v.organization_id AND x.id = v.extraction_id
    JOIN {SCHEMA}.document d ON d.organization_id = x.organization_id AND d.id = x.document_id
    WHERE v.organization_id = :organization_id AND v.id = ANY(:ids) AND v.deleted_at IS NULL
    """
)
DOCUMENTS = text(
    f"""
    SELECT x.id, d.id AS document_id, d.name FROM {SCHEMA}.extraction x
    JOIN {SCHEMA}.document d ON d.organization_id = x.organization_id AND d.id = x.document_id
    WHERE x.organization_id = :organization_id AND x.id = ANY(:ids)
    """
)


def approximately(kind: EntryKind, dimensions: int) -> TextClause:
    """The query that the HNSW index of this kind and dimensions answers; cosines are of the whole vectors."""
    form = f"halfvec({dimensions})"
    return text(f"""
    WITH e AS MATERIALIZED (
        SELECT id, segment_id, text, text_digest, targets, span_start, span_end, vector FROM {SCHEMA}.search_entry
        WHERE organization_id = :organization_id AND model = :model AND kind = '{kind}' AND dimensions = {dimensions}
        ORDER BY (vector::{form}) <=> CAST(:vector AS {form}) LIMIT :rows
    )
    SELECT e.text, e.text_digest, e.targets, e.span_start, e.span_end, s.extraction_id,
        1 - (e.vector <=> CAST(:vector AS vector)) AS cosine
    FROM e JOIN {SCHEMA}.search_segment s ON s.organization_id = :organization_id AND s.id = e.segment_id
    ORDER BY cosine DESC, e.id
    """)
