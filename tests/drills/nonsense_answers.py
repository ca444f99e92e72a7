"""Answers that are none, made from the right one: what models, proxies and careless servers send with a status of 200.

Some can be made use of (a code fence, prose around the JSON, things made up beside the right ones); no other must
leave anything in the graph.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from tests.scripted_endpoint import JSON, Reply

_HUGE_CHARACTERS = 2_000_000
_DEPTH = 200_000
_INVENTED: dict[str, JSON] = {
    "entities": {
        "id": "e9999",
        "name": "Zzyzx Atlantissen",
        "types": ["scientist"],
        "mentions": [{"text": "Zzyzx Atlantissen", "start": 3}],
    },
    "relations": {
        "subject_id": "e9999",
        "predicate": "born in",
        "object_id": "e1",
        "object_literal": None,
        "evidence": "Zzyzx Atlantissen was born in Venstad.",
        "confidence": 1.0,
    },
}


def kinds_of_nonsense(stage: str) -> tuple[str, ...]:
    """The names of all kinds that the stage may be answered with."""
    return tuple(sorted(_EMBEDDINGS if stage == "embeddings" else _CHAT))


def nonsense_of_kind(name: str, stage: str, right: Reply) -> Reply:
    """The stage's right reply, made nonsense of."""
    kinds = _EMBEDDINGS if stage == "embeddings" else _CHAT
    return kinds[name](right.body if isinstance(right.body, dict) else {}, stage)


_Make = Callable[[JSON, str], Reply]


def _raw(content: bytes, content_type: str = "application/json") -> _Make:
    return lambda body, stage: Reply(content, headers={"Content-Type": content_type})


def _half(body: JSON, stage: str) -> Reply:
    whole = json.dumps(body).encode()
    return Reply(whole[: len(whole) // 2])


_PAGE = b"<!doctype html><html><title>Bad gateway</title><h1>Please come back later</h1></html>"
_BODIES: Mapping[str, _Make] = {
    "body_html": _raw(_PAGE, "text/html"),
    "body_html_said_to_be_json": _raw(_PAGE),
    "body_empty": _raw(b""),
    "body_half": _half,
    "body_not_utf8": _raw(b'{"id": "\xff\xfe\x80", "object": "\xc3"}'),
    "body_binary": _raw(bytes(range(256)) * 8, "application/octet-stream"),
    "body_null": _raw(b"null"),
    "body_list": _raw(b"[]"),
    "body_text": _raw(b'"ok"'),
    "body_nested": _raw(b"[" * _DEPTH + b"]" * _DEPTH),
    "body_other_api": _raw(b'{"error": {"message": "the model is loading", "type": "overloaded"}}'),
}


def _with_content(content: str | None, right: JSON, finish_reason: str = "stop") -> Reply:
    message = {"role": "assistant", "content": content}
    return Reply({**right, "choices": [{**right["choices"][0], "message": message, "finish_reason": finish_reason}]})


def _content(right: JSON) -> str:
    return right["choices"][0]["message"]["content"]


def _said(change: Callable[[str], str | None], finish_reason: str = "stop") -> _Make:
    return lambda right, stage: _with_content(change(_content(right)), right, finish_reason)


def _instead(answer: Callable[[JSON], object]) -> _Make:
    """The right answer, decoded, to what is said instead."""
    return lambda right, stage: _with_content(json.dumps(answer(json.loads(_content(right)))), right)


def _each_list(change: Callable[[str, list[Any]], object]) -> _Make:
    """The right answer with each of its lists, given by name, changed."""
    return _instead(lambda answer: {name: change(name, items) for name, items in answer.items()})


def _each_text(change: Callable[[str], str]) -> _Make:
    def changed(value: Any) -> Any:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, list):
            return [changed(inner) for inner in value]  # pyright: ignore[reportUnknownVariableType]
        return {name: changed(inner) for name, inner in value.items()} if isinstance(value, dict) else value  # pyright: ignore[reportUnknownVariableType]

    return _instead(changed)


_CHAT: Mapping[str, _Make] = {
    **_BODIES,
    "fenced": _said(lambda text: f"```json\n{text}\n```"),
    "prose_around": _said(lambda text: f"Of course! Here is the JSON:\n\n{text}\n\nIs there anything else?"),
    "truncated": _said(lambda text: text[: len(text) // 2], "length"),
    "not_json": _said(lambda text: "I am sorry, but I cannot help with that passage."),
    "python_instead": _said(lambda text: text.replace('"', "'").replace("null", "None")),
    "empty": _said(lambda text: ""),
    "null": _said(lambda text: None),
    "huge": _said(lambda text: "and so on " * (_HUGE_CHARACTERS // 10)),
    "nested": _said(lambda text: "[" * _DEPTH),
    "lone_surrogate": _said(lambda text: "\ud800" + text),
    "list_instead": _instead(lambda answer: list(answer.values())),
    "other_name": _instead(lambda answer: {"results": answer["relations"]}),
    "null_list": _each_list(lambda name, items: None),
    "text_for_list": _each_list(lambda name, items: "none"),
    "items_of_another_kind": _each_list(lambda name, items: [[1, 2], None, "Venstad", 4.5]),
    "fields_of_other_types": _each_list(lambda name, items: [dict.fromkeys(_INVENTED[name], ("?", "!"))]),
    "fields_missing": _each_list(lambda name, items: [{"comment": "none"}]),
    "nul_characters": _each_text(lambda text: f"\0{text}\0"),
    "invented_beside": _each_list(lambda name, items: [_INVENTED[name], *items]),
    "no_choices": lambda right, stage: Reply({**right, "choices": []}),
    "no_message": lambda right, stage: Reply({**right, "choices": [{"index": 0, "finish_reason": "stop"}]}),
    "usage_of_another_kind": lambda right, stage: Reply(
        {**right, "choices": [], "usage": {"prompt_tokens": "many", "completion_tokens": None}}
    ),
}


def _vectors(change: Callable[[list[Any]], object]) -> _Make:
    def made(right: JSON, stage: str) -> Reply:
        # Written as it is: NaN and Infinity are no JSON, and are sent all the same.
        return Reply(json.dumps({**right, "data": change([dict(row) for row in right["data"]])}).encode())

    return made


def _each_vector(change: Callable[[list[float]], object]) -> _Make:
    return _vectors(lambda rows: [{**row, "embedding": change(row["embedding"])} for row in rows])


_EMBEDDINGS: Mapping[str, _Make] = {
    **_BODIES,
    "too_few": _vectors(lambda rows: rows[1:]),
    "too_many": _vectors(lambda rows: [*rows, {**rows[0], "index": len(rows)}]),
    "no_data": _vectors(lambda rows: []),
    "null_data": _vectors(lambda rows: None),
    "same_index": _vectors(lambda rows: [{**row, "index": 0} for row in rows]),
    "no_index": _vectors(lambda rows: [{"embedding": row["embedding"]} for row in rows]),
    "ragged": _vectors(lambda rows: [{**rows[0], "embedding": rows[0]["embedding"][:-1]}, *rows[1:]]),
    "vector_null": _each_vector(lambda vector: None),
    "vector_empty": _each_vector(lambda vector: []),
    "vector_texts": _each_vector(lambda vector: [str(value) for value in vector]),
    "vector_base64": _each_vector(lambda vector: "AACAPwAAAEAAAEBA"),
    "vector_nested": _each_vector(lambda vector: [vector]),
    "vector_nan": _each_vector(lambda vector: [math.nan, *vector[1:]]),
    "vector_infinite": _each_vector(lambda vector: [math.inf, *vector[1:]]),
    "vector_zero": _each_vector(lambda vector: [0.0 for _ in vector]),
}
