"""Text that PostgreSQL can hold. It refuses NUL and lone surrogates, which error messages may well quote."""

import math
from collections.abc import Mapping
from typing import cast

_REPLACEMENT = "�"


def storable_text(text: str) -> str:
    """The text with NUL characters and lone surrogates replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    cleaned = text.replace("\x00", _REPLACEMENT)
    return cleaned.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def storable_json(values: Mapping[str, object]) -> dict[str, object]:
    """The mapping as JSON objects can say it: storable texts, and anything else that JSON lacks as its `str`."""
    return {storable_text(key): _storable(value) for key, value in values.items()}


def _storable(value: object) -> object:
    if isinstance(value, Mapping):
        return {storable_text(str(k)): _storable(v) for k, v in cast(Mapping[object, object], value).items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in cast(list[object], value)]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return storable_text(str(value))
