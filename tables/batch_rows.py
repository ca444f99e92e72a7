"""Batches and their documents as rows and back."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import JSON, and_, bindparam, text
from sqlalchemy.orm import Session

from knowledge.batches import Batch, BatchDocument, DocumentState
from tables.base import SCHEMA, table_of
from tables.batch import WorkflowBatch, WorkflowBatchDocument
from tables.bulk import upsert
from tables.storable import storable_json, storable_text

_KEY = ("organization_id", "id")
# What an earlier pass has brought to an end is pending again; what this pass has seen already stays as it is.
REGISTER = text(
    f"""
    INSERT INTO {SCHEMA}.workflow_batch_document AS d
        (organization_id, id, batch_id, location, name, ontology, state, last_pass, attempt, reused)
    SELECT :organization_id, id, :batch_id, location, name, ontology, '{DocumentState.PENDING}', :pass, 1, false
    FROM json_to_recordset(:rows) AS listed(id text, location text, name text, ontology text)
    ON CONFLICT (organization_id, id) DO UPDATE SET
        name = excluded.name, state = excluded.state, last_pass = excluded.last_pass, attempt = 1, reused = false,
        error = NULL, flow_run_id = NULL, document_id = NULL, ontology_id = NULL, extraction_id = NULL,
        retracted_at = NULL, digest = CASE
            WHEN d.state = '{DocumentState.COMPLETED}' AND d.document_id = d.published_id THEN d.digest ELSE '' END
    WHERE d.last_pass <> excluded.last_pass
    """
).bindparams(bindparam("rows", type_=JSON))


def values_of(batch: Batch) -> dict[str, Any]:
    """The columns of a batch."""
    values = {field.name: getattr(batch, field.name) for field in fields(Batch)}
    return {
        **values,
        "name": storable_text(batch.name),
        "sources": tuple(map(storable_text, batch.sources)),
        "options": storable_json(batch.options),
    }


def batch_of(row: WorkflowBatch) -> Batch:
    """The batch that a row has."""
    return Batch(**{field.name: getattr(row, field.name) for field in fields(Batch)})


def document_of(row: WorkflowBatchDocument) -> BatchDocument:
    """The document that a row has."""
    return BatchDocument(**{field.name: getattr(row, field.name) for field in fields(BatchDocument)})


def write_documents(session: Session, documents: Sequence[BatchDocument]) -> None:
    """Writes documents in one statement; those that are as they were are not touched."""
    table = table_of(WorkflowBatchDocument)
    names = [field.name for field in fields(BatchDocument) if field.name not in _KEY]
    upsert(
        session,
        table,
        [row_of(document) for document in documents],
        key=_KEY,
        keep=(),
        unless=lambda new: and_(*(table.c[name].is_not_distinct_from(new[name]) for name in names)),
    )


def row_of(document: BatchDocument) -> Mapping[str, object]:
    """The columns of a document, as JSON has them."""
    row = {field.name: getattr(document, field.name) for field in fields(BatchDocument)}
    at = document.retracted_at
    error = None if document.error is None else storable_text(document.error)
    return {**row, "error": error, "retracted_at": at and at.isoformat()}
