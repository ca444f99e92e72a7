"""A guard against XML entities that expand without bound ("billion laughs"): RDF/XML files abbreviate IRIs with
entities, and the RDF parser puts them in without a limit of its own."""

import re
from collections import Counter

_DECLARATION = re.compile(r"""<!ENTITY\s+([^\s%&;]+)\s+(?:"([^"]*)"|'([^']*)')""")
_REFERENCE = re.compile(r"&([^\s&;#]+);")
_LONGEST_ENTITY = 2_000
_LARGEST_GROWTH = 20


def expansion_limit_exceeded(text: str) -> str | None:
    """The name of an entity of `text` that would make it grow out of proportion, if there is one."""
    lengths: dict[str, int] = {}
    for declaration in _DECLARATION.finditer(text):
        name, value = declaration[1], declaration[2] or declaration[3] or ""
        lengths[name] = len(value) + sum(lengths.get(used, 0) for used in _REFERENCE.findall(value))
        if lengths[name] > _LONGEST_ENTITY:
            return name
    uses = Counter(_REFERENCE.findall(text)) if lengths else Counter[str]()
    added = {name: uses[name] * length for name, length in lengths.items()}
    if sum(added.values()) > _LARGEST_GROWTH * (len(text) + 100_000):
        return max(added, key=lambda name: added[name])
    return None
