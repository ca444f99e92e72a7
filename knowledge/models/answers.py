"""What chat models must answer: the JSON schema that asks for it, and a reading that forgives the form."""

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

from json_repair import repair_json
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from knowledge.findings import THING, ListedMention, ListedThing, Rejection, Statement
from knowledge.ontology import Ontology

# NUL, which no text has, written as an escape whose backslash is not itself escaped.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
# Endpoints bound the number of values that a schema may enumerate; past it, names are checked after the answer.
_MAX_ENUM_VALUES = 500
_UNSAID_CONFIDENCE = 0.5
_STRAY_SHARE = 0.1
_DEEPEST = 100
"""So many brackets within brackets; a passage's answer has five, and a few more in wrappers."""

Part = TypeVar("Part", bound="_AnswerPart")


def _listed(value: object) -> object:
    """A single value where a list was asked for is a list of one; nothing is none."""
    if value is None:
        return ()
    return cast(object, value) if isinstance(value, list | tuple) else (value,)


def _text(value: object) -> object:
    """Texts without white space around them; numbers given for texts are their digits, and nothing is empty."""
    if type(value) is str:
        return value.strip()
    if value is None:
        return ""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value).strip() if is_number or isinstance(value, str) else value


def _position(value: object) -> object:
    """Positions are hints: one that cannot be read is none."""
    try:
        return int(cast(Any, value))
    except (TypeError, ValueError, OverflowError):
        return -1


def _confidence(value: object) -> object:
    """Models leave the scale, or say "high"; a fact is not refused for that."""
    try:
        number = float(cast(Any, value))
    except (TypeError, ValueError):
        return _UNSAID_CONFIDENCE
    return min(1.0, max(0.0, number)) if math.isfinite(number) else _UNSAID_CONFIDENCE


def _mention(value: object) -> object:
    return {"text": value} if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_text)]


class _AnswerPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class MentionAnswer(_AnswerPart):
    """A mention; `start` is a hint only, because models count badly."""

    text: Text
    start: Annotated[int, BeforeValidator(_position)] = -1


class EntityAnswer(_AnswerPart):
    """A thing. Items with one `id` are one thing, and items with different ids are different things."""

    id: Text = ""
    name: Text = ""
    types: Annotated[tuple[Text, ...], BeforeValidator(_listed)] = ()
    mentions: Annotated[tuple[Annotated[MentionAnswer, BeforeValidator(_mention)], ...], BeforeValidator(_listed)] = ()


class RelationAnswer(_AnswerPart):
    """A fact about things given by id."""

    subject_id: Text
    predicate: Text
    object_id: Text = ""
    object_literal: Text = ""
    evidence: Text = ""
    confidence: Annotated[float, BeforeValidator(_confidence)] = Field(default=_UNSAID_CONFIDENCE)


@dataclass(frozen=True, slots=True)
class PassageAnswer:
    """An answer about a passage as far as it can be read. `problem` says why it should be asked for again, if so."""

    entities: tuple[EntityAnswer, ...] = ()
    relations: tuple[RelationAnswer, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    problem: str = ""

    @property
    def things(self) -> tuple[ListedThing, ...]:
        """The entities, in the domain's terms."""
        return tuple(
            ListedThing(item.id, item.name, item.types, tuple(ListedMention(m.text, m.start) for m in item.mentions))
            for item in self.entities
        )

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The relations, in the domain's terms."""
        return tuple(
            Statement(r.subject_id, r.predicate, r.object_id, r.object_literal, r.evidence, r.confidence)
            for r in self.relations
        )


def passage_schema(ontology: Ontology) -> dict[str, Any]:
    """The schema of a passage's answer, with the ontology's names as the only types and predicates."""
    types = _one_of([*(item.name for item in ontology.classes), THING])
    entity = {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "types": {"type": "array", "items": types},
        "mentions": _array({"text": {"type": "string"}, "start": {"type": "integer"}}),
    }
    relation = {
        "subject_id": {"type": "string"},
        "predicate": _one_of([item.name for item in ontology.properties]),
        "object_id": {"type": ["string", "null"]},
        "object_literal": {"type": ["string", "null"]},
        "evidence": {"type": "string"},
        "confidence": {"type": "number"},
    }
    return _object({"entities": _array(entity), "relations": _array(relation)})


def without_nul(text: str) -> str:
    """The text without NUL, which no text of ours has and PostgreSQL refuses, also where it is written as an escape."""
    # Looking for it first is forty times as fast as looking for the pattern, and almost no text has it.
    if "\\u0000" in text:
        text = _NUL.sub(r"\1", text)
    return text.replace("\0", "")


def json_in(text: str) -> object:
    """The JSON value in a model's answer, its form mended where what was meant is plain; None if there is none."""
    text = without_nul(text)
    # Most answers are JSON, and that is read three times as fast.
    with suppress(ValueError):
        return from_json(text)
    try:
        value: object = repair_json(text, return_objects=True)
    except (RecursionError, ValueError):  # brackets within brackets
        return None
    # How many of them Python reads is another number in each of its versions: more than what is read can be walked by.
    return value if _is_shallow(value) else None


def _is_shallow(value: object) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return True
    return False


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast(dict[str, object], value).values()
    return cast(list[object], value) if isinstance(value, list) else ()


def parse_answer(text: str, *, complete: bool = True) -> PassageAnswer:
    """The answer in `text`, with the form mended where what was meant is plain.

    Prose and code fences around the JSON, other quotation marks, missing or superfluous commas, comments, wrappers
    around the object and values of other types do no harm. Items that still do not fit are left out, each with a
    rejection. What is missing is not made up: `problem` says so. `complete` is whether the endpoint let it finish.
    """
    text = without_nul(text)
    body = _answer_in(json_in(text))
    if body is None:
        return PassageAnswer(problem="it holds no JSON object with entities and relations")
    rejections: list[Rejection] = []
    entities = tuple(_items(body.get("entities"), EntityAnswer, rejections))
    relations = tuple(_items(body.get("relations"), RelationAnswer, rejections))
    if is_cut_off := _is_cut_off(text):
        # The last item may end in half a name or value.
        entities, relations = (entities, relations[:-1]) if relations else (entities[:-1], relations)
    problem = _problem(body, complete and not is_cut_off, rejections)
    return PassageAnswer(entities, relations, tuple(rejections), problem)


def _problem(body: Mapping[str, Any], complete: bool, rejections: list[Rejection]) -> str:
    if not complete:
        return "it was cut off; be brief enough to finish"
    missing = [name for name in ("entities", "relations") if not isinstance(body.get(name), list)]
    if missing:
        return f"it has no list of {' and none of '.join(missing)}"
    n_items = sum(len(body[name]) for name in ("entities", "relations"))
    # A stray item is not worth another question.
    return f"{rejections[0].item}: {rejections[0].reason}" if len(rejections) > n_items * _STRAY_SHARE else ""


def _is_cut_off(text: str) -> bool:
    """Whether more brackets open than close. One within a text counts too, which at worst costs a question."""
    body = text[min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=0) :]
    return sum(body.count(c) for c in "{[") > sum(body.count(c) for c in "}]")


def _answer_in(value: object) -> Mapping[str, Any] | None:
    """The object that has what was asked for: itself, within a wrapper, the first of several, or a bare list."""
    if isinstance(value, dict):
        found = cast(dict[str, Any], value)
        if "entities" in found or "relations" in found:
            return found
        return next((inner for item in found.values() if (inner := _answer_in(item)) is not None), None)
    if not isinstance(value, list):
        return None
    items = cast(list[Any], value)
    inner = [found for item in items if (found := _answer_in(item)) is not None]
    if inner:
        return max(inner, key=lambda found: len(found))
    keys = {key for item in items if isinstance(item, dict) for key in cast(dict[str, Any], item)}
    if "subject_id" in keys:
        return {"relations": items}
    return {"entities": items} if keys & {"mentions", "types"} else None


def _items(value: object, kind: type[Part], rejections: list[Rejection]) -> Iterable[Part]:
    for item in cast(list[object], value) if isinstance(value, list) else ():
        try:
            yield kind.model_validate(item)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            rejections.append(Rejection(f"does not fit the schema: {first['msg']} (at {place})", str(item)[:200]))


def _one_of(names: list[str]) -> dict[str, Any]:
    return {"type": "string", "enum": names} if 0 < len(names) <= _MAX_ENUM_VALUES else {"type": "string"}


def _array(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": _object(fields)}


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    """Strict structured output wants every field required and no others."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
