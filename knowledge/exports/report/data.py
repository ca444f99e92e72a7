"""A report as the page's script reads it: indexes instead of ids, offsets in UTF-16 code units."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from knowledge.domain import Document, Entity, Extractor, Mention, Relation, WorkflowExecutionState
from knowledge.exports.graph_export import GraphExport
from knowledge.exports.report.offsets import CodeUnits
from knowledge.exports.report.report import Report, ReportedRun
from knowledge.exports.report.timeline import Timeline, TimelineEvent, timeline_of
from knowledge.ids import DocumentId, EntityId, ExtractionId

Json = dict[str, object]


def page_data(report: Report) -> Json:
    """Everything that the page shows; each graph and each document once, whatever number of runs they belong to."""
    return _PageData(report).build()


class _PageData:
    def __init__(self, report: Report) -> None:
        self._report = report
        self._documents: dict[DocumentId, int] = {}
        self._texts: list[Json] = []
        self._units: list[CodeUnits] = []
        self._terms: dict[tuple[str, str], int] = {}
        self._extractors: dict[Extractor, int] = {}
        self._entities: dict[EntityId, int] = {}
        self._entity_rows: list[Json] = []
        self._facts: list[Json] = []

    def build(self) -> Json:
        report = self._report
        runs = [self._run(run) for run in report.runs]
        for export in self._exports():
            self._add_graph(export)
        return {
            "title": report.title,
            "asOf": _iso(report.as_of),
            "documents": self._texts,
            "terms": [{"iri": iri, "label": label} for iri, label in self._terms],
            "extractors": [asdict(extractor) for extractor in self._extractors],
            "entities": self._entity_rows,
            "facts": self._facts,
            "links": list(self._links()),
            "runs": runs,
        }

    def _exports(self) -> Iterable[GraphExport]:
        """Each extraction's graph once: several runs may have made the same."""
        exports: dict[ExtractionId, GraphExport] = {}
        for run in self._report.runs:
            if run.export is not None:
                exports.setdefault(run.export.graph.extraction_id, run.export)
        return exports.values()

    def _add_graph(self, export: GraphExport) -> None:
        home = self._document(export.document)
        units = self._units[home]
        mentions: dict[EntityId, list[Mention]] = {}
        for mention in sorted(export.graph.mentions, key=lambda found: found.span):
            mentions.setdefault(mention.entity_id, []).append(mention)
        for entity in sorted(export.graph.entities, key=lambda found: (found.label.casefold(), found.id)):
            self._entities[entity.id] = len(self._entity_rows)
            places = [units.span(found.span) for found in mentions.get(entity.id, ())]
            self._entity_rows.append(self._entity(entity, home, export) | {"mentions": places})
        for relation in sorted(export.graph.relations, key=lambda found: (-found.confidence, found.id)):
            self._facts.append(self._fact(relation, home, export))

    def _entity(self, entity: Entity, home: int, export: GraphExport) -> Json:
        return {
            "id": entity.id,
            "label": entity.label,
            "aliases": entity.aliases,
            "classes": [self._term(iri, export.class_label(iri)) for iri in entity.classes],
            "document": home,
        }

    def _fact(self, relation: Relation, home: int, export: GraphExport) -> Json:
        units = self._units[home]
        return {
            "id": relation.id,
            "document": home,
            "subject": self._entities[relation.subject_id],
            "predicate": self._term(relation.predicate, export.property_label(relation.predicate)),
            "object": None if relation.object_id is None else self._entities[relation.object_id],
            "literal": relation.literal and asdict(relation.literal),
            "confidence": relation.confidence,
            "flags": relation.flags,
            "evidence": [
                {"span": units.span(found.span), "by": self._extractor(found.extractor)}
                for found in sorted(relation.evidence, key=lambda item: (item.span, item.id))
            ],
        }

    def _links(self) -> Iterable[Json]:
        for link in self._report.links:
            if link.entity_id in self._entities and link.other_id in self._entities:
                yield {
                    "id": link.id,
                    "one": self._entities[link.entity_id],
                    "other": self._entities[link.other_id],
                    "score": link.score,
                    "status": link.status.value,
                    "reasons": link.reasons,
                }

    def _run(self, run: ReportedRun) -> Json:
        document = None if run.document is None else self._document(run.document)
        left_out = None if run.left_out is None else [asdict(part) for part in run.left_out]
        timeline = timeline_of(run, self._report.as_of)
        return _state(run.state) | {"document": document, "leftOut": left_out, "timeline": _timeline(timeline)}

    def _document(self, document: Document) -> int:
        if document.id not in self._documents:
            self._documents[document.id] = len(self._texts)
            self._texts.append({key: getattr(document, key) for key in ("id", "name", "source", "text")})
            self._units.append(CodeUnits(document.text))
        return self._documents[document.id]

    def _term(self, iri: str, label: str) -> int:
        return self._terms.setdefault((iri, label), len(self._terms))

    def _extractor(self, extractor: Extractor) -> int:
        return self._extractors.setdefault(extractor, len(self._extractors))


def _state(state: WorkflowExecutionState) -> Json:
    return {
        "id": state.id,
        "name": state.document_name,
        "status": state.status.value,
        "error": state.error,
        "resumes": state.resumes,
        "statistics": asdict(state.statistics),
    }


def _timeline(timeline: Timeline) -> Json:
    return {
        "startedAt": _iso(timeline.started_at),
        "endedAt": _iso(timeline.ended_at),
        "stages": [
            {
                "stage": stage.stage.value,
                "startedAt": _iso(stage.started_at),
                "endedAt": _iso(stage.ended_at),
                "items": stage.items,
                "counts": {status.value: count for status, count in sorted(stage.counts.items())},
                "cells": [cell and cell.value for cell in stage.cells],
            }
            for stage in timeline.stages
        ],
        "events": [_event(event) for event in timeline.events],
    }


def _event(event: TimelineEvent) -> Json:
    return {"kind": event.kind.value, "at": _iso(event.at), "until": _iso(event.until), "text": event.text}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
