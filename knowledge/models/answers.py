"""What chat models must answer: pydantic models for validation, and the JSON schemas that ask for them."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict

from knowledge.ontology import Ontology

THING = "Thing"
# Endpoints bound the number of values that a schema may enumerate; past it, names are checked after the answer.
_MAX_ENUM_VALUES = 500

Answer = TypeVar("Answer", bound=BaseModel)


class _AnswerPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class MentionAnswer(_AnswerPart):
    """A mention; `start` is a hint only, because models count badly."""

    text: str
    start: int = -1


class MentionsAnswer(_AnswerPart):
    """The mentions of a passage in order of appearance."""

    mentions: tuple[MentionAnswer, ...]


class EntityAnswer(_AnswerPart):
    """The thing that the mention listed under `mention_id` means."""

    mention_id: int
    name: str
    types: tuple[str, ...]


class EntitiesAnswer(_AnswerPart):
    """One item for each listed mention."""

    entities: tuple[EntityAnswer, ...]


class RelationAnswer(_AnswerPart):
    """A fact about listed things."""

    subject_id: str
    predicate: str
    object_id: str | None = None
    object_literal: str | None = None
    evidence: str = ""
    # Models sometimes leave the scale; a fact is not refused for that.
    confidence: Annotated[float, AfterValidator(lambda value: min(1.0, max(0.0, value)))] = 0.5


class RelationsAnswer(_AnswerPart):
    """The facts of a passage."""

    relations: tuple[RelationAnswer, ...]


def mentions_schema() -> dict[str, Any]:
    """The schema of `MentionsAnswer`."""
    return _list_of("mentions", {"text": {"type": "string"}, "start": {"type": "integer"}})


def entities_schema(ontology: Ontology) -> dict[str, Any]:
    """The schema of `EntitiesAnswer`, with the ontology's class names as the only types."""
    names = [*(item.name for item in ontology.classes), THING]
    return _list_of(
        "entities",
        {
            "mention_id": {"type": "integer"},
            "name": {"type": "string"},
            "types": {"type": "array", "items": _one_of(names)},
        },
    )


def relations_schema(ontology: Ontology) -> dict[str, Any]:
    """The schema of `RelationsAnswer`, with the ontology's property names as the only predicates."""
    return _list_of(
        "relations",
        {
            "subject_id": {"type": "string"},
            "predicate": _one_of([item.name for item in ontology.properties]),
            "object_id": {"type": ["string", "null"]},
            "object_literal": {"type": ["string", "null"]},
            "evidence": {"type": "string"},
            "confidence": {"type": "number"},
        },
    )


def _one_of(names: list[str]) -> dict[str, Any]:
    return {"type": "string", "enum": names} if 0 < len(names) <= _MAX_ENUM_VALUES else {"type": "string"}


def _list_of(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Strict structured output wants every field required and no others."""
    item = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    return {
        "type": "object",
        "properties": {name: {"type": "array", "items": item}},
        "required": [name],
        "additionalProperties": False,
    }
