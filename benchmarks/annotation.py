"""What annotated documents say about the facts that were found in them.

A line of the file has `entities` (`id`, `label`, `aliases`), `predicate_iris` by label, and `triples` (`subject`,
`predicate_label`, `object` or `object_literal` with further `object_forms`; `core`: false for those that the text does
not fully say, which count neither way; `symmetric` for those that hold both ways).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from knowledge.domain import Entity, KnowledgeGraph, Literal, Relation
from knowledge.literals import normalise_literal
from knowledge.stages.names import folded_name


@dataclass(frozen=True, slots=True)
class _Triple:
    object: str
    forms: frozenset[str]
    counts: bool


class Annotation:
    """The facts of one annotated document."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        names = {entity["id"]: [entity["label"], *entity.get("aliases", ())] for entity in record["entities"]}
        self.names = {id_: frozenset(map(folded_name, said)) for id_, said in names.items()}
        self._by_name: defaultdict[str, set[str]] = defaultdict(set)
        for id_, said in self.names.items():
            for name in said:
                self._by_name[name].add(id_)
        self._triples: defaultdict[tuple[str, str], list[_Triple]] = defaultdict(list)
        for triple in record["triples"]:
            self._add(triple, record["predicate_iris"].get(triple["predicate_label"], ""))

    def _add(self, triple: Mapping[str, Any], predicate: str) -> None:
        object_, counts = triple.get("object") or "", triple.get("core", True)
        forms = _forms(triple.get("object_forms") or [triple.get("object_literal")] if not object_ else ())
        self._triples[triple["subject"], predicate].append(_Triple(object_, forms, counts))
        if object_ and triple.get("symmetric"):
            self._triples[object_, predicate].append(_Triple(triple["subject"], forms, counts))

    def things_called(self, entity: Entity) -> set[str]:
        """The ids of the annotated things that bear one of the entity's names."""
        return {id_ for name in (entity.label, *entity.aliases) for id_ in self._by_name.get(folded_name(name), ())}

    def judge(self, relation: Relation, entities: Mapping[str, Entity]) -> bool | None:
        """Whether the annotation has the fact; None when it has it as one that does not count."""
        targets = set[str]() if relation.object_id is None else self.things_called(entities[relation.object_id])
        values = (
            _values(relation.literal) if relation.literal else {folded_name(entities[relation.object_id or ""].label)}
        )
        found = [
            triple.counts
            for subject in self.things_called(entities[relation.subject_id])
            for triple in self._triples.get((subject, relation.predicate), ())
            if triple.object in targets or triple.forms & values or self._names(triple) & values
        ]
        return None if found and not any(found) else bool(found)

    def _names(self, triple: _Triple) -> frozenset[str]:
        return self.names.get(triple.object, frozenset())


def verdicts(graph: KnowledgeGraph, annotation: Annotation) -> list[tuple[Relation, bool]]:
    """The graph's facts that count, each with whether it is right."""
    entities: dict[str, Entity] = {entity.id: entity for entity in graph.entities}
    judged = ((relation, annotation.judge(relation, entities)) for relation in graph.relations)
    return [(relation, right) for relation, right in judged if right is not None]


def _values(literal: Literal) -> set[str]:
    return set(_forms([literal.surface, literal.lexical]))


def _forms(texts: Iterable[str | None]) -> frozenset[str]:
    """The texts, folded, and as numbers and dates."""
    found: set[str] = set()
    for text in texts:
        if text:
            found.add(folded_name(re.sub(r"(?<=\d),(?=\d{3})", "", text)))
            found.update(_normal(text))
    return frozenset(found)


_DATE = "http://www.w3.org/2001/XMLSchema#date"


def _normal(text: str) -> Iterable[str]:
    literal = normalise_literal(text, (_DATE,))
    if literal.datatype == _DATE:
        yield literal.lexical
    if re.fullmatch(r"[-+]?[\d,]*\.?\d+", text.strip()):
        yield f"{float(text.replace(',', '')):g}"
