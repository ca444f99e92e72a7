"""Names of things: when two are one, and what could be short for what."""

import re
import unicodedata
from functools import lru_cache

_SMALL_WORDS = frozenset(
    ["of", "the", "and", "for", "in", "on", "de", "la", "le", "du", "des", "und", "für", "der", "die"]
)
_ARTICLES = frozenset(["the", "a", "an"])


@lru_cache(maxsize=100_000)
def folded_name(name: str) -> str:
    """A name without case, accents, punctuation and leading article; initials are one word, as in `jk rowling`."""
    if name.isascii() and name.replace(" ", "").isalnum():
        # As most names are: nothing to be taken away, for a seventh of the time.
        words = name.lower().split()
        if words[0] not in _ARTICLES and min(map(len, words)) > 1:
            return " ".join(words)
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    plain = re.sub(r"[’'](?=s\b)", "", plain.casefold())
    plain = re.sub(r"[\W_]+", " ", plain).strip()
    plain = re.sub(r"\b(\w) (?=\w\b)", r"\1", plain)
    return re.sub(r"^(?:the|a|an) (?=.)", "", plain) or name.casefold()


def is_proper(name: str) -> bool:
    """Whether a text can stand for one thing wherever it is said: `Oslo` and `N68`, but not `the company`."""
    return any(c.isupper() or c.isdigit() for c in name)


def is_acronym(name: str) -> bool:
    """Whether a name is written as an acronym, with points or without."""
    plain = name.replace(".", "")
    return 2 <= len(plain) <= 8 and plain.isalpha() and plain.isupper()


def initials_of(folded: str) -> frozenset[str]:
    """The acronyms that a folded name of several words may have: of all its words, and without the small ones."""
    words = folded.split()
    if len(words) < 2:
        return frozenset()
    return frozenset({"".join(w[0] for w in words), "".join(w[0] for w in words if w not in _SMALL_WORDS)})
