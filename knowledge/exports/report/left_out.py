"""What answers said that is in no graph: made anew from the stored answers, as the run made it."""

from collections.abc import Iterator, Mapping, Sequence

from knowledge.domain import Chunk, Document
from knowledge.exports.report.report import LeftOut
from knowledge.findings import FoundMentions, Rejection
from knowledge.ids import ExtractionId
from knowledge.ontology import Ontology
from knowledge.pipeline import ExtractionOptions, ontology_id_of
from knowledge.stages.assembly import ChunkFindings, assemble
from knowledge.stages.chunking import chunk_document
from knowledge.stages.entities import find_entities
from knowledge.stages.relations import UNKNOWN_PREDICATE, find_relations
from knowledge.stages.resolution import resolve
from knowledge.stages.validation import without_violations


def left_out_of(
    document: Document,
    ontology: Ontology,
    options: ExtractionOptions,
    answers: Mapping[int, FoundMentions],
    extraction_id: ExtractionId,
) -> tuple[LeftOut, ...]:
    """What was left out of the extraction's graph, in the order of the chunks; `answers` are by chunk index.

    Stages after the questions are pure, so what they reject today they rejected then, with the same code.
    """
    chunks = chunk_document(document, options.chunk_characters, options.lead_characters)
    findings = [_findings(chunk, answers[chunk.index], ontology) for chunk in chunks if chunk.index in answers]
    left_out = [part for found in findings for part in _of_chunk(found)]
    if options.strict:
        left_out += _of_document(findings, document, ontology, extraction_id)
    return tuple(left_out)


def _findings(chunk: Chunk, mentions: FoundMentions, ontology: Ontology) -> ChunkFindings:
    entities = find_entities(chunk.passage, mentions, ontology)
    relations = find_relations(chunk.passage, mentions, entities.entities, ontology)
    return ChunkFindings(chunk, mentions, entities, relations)


def _of_chunk(found: ChunkFindings) -> Iterator[LeftOut]:
    for answer in (found.mentions, found.entities, found.relations):
        for rejection in answer.rejections if answer else ():
            yield _left_out(rejection, found.chunk.index)


def _of_document(
    findings: Sequence[ChunkFindings], document: Document, ontology: Ontology, extraction_id: ExtractionId
) -> Iterator[LeftOut]:
    """What a strict run leaves out, because it is outside its predicate's domain or range."""
    ontology_id = ontology_id_of(document.organization_id, ontology)
    graph = resolve(assemble(findings), document, ontology, ontology_id, extraction_id)
    _, rejections = without_violations(graph)
    return (_left_out(rejection, None) for rejection in rejections)


def _left_out(rejection: Rejection, chunk_index: int | None) -> LeftOut:
    return LeftOut(rejection.reason, rejection.item, chunk_index, rejection.reason == UNKNOWN_PREDICATE)
