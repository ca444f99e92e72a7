"""Words of questions, passages and predicates: stems that can be compared, and how far two lists of them agree."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+(?:[’'][^\W_]+)*")
_MIN_STEM, _MIN_COMMON = 4, 6
_DERIVATIONS = frozenset(
    ("al", "ation", "ator", "er", "ic", "ion", "ist", "ive", "ment", "or", "r", "ship", "tion", "ure", "y")
)
# Forms of one word that share too little for a stemmer.
_IRREGULAR = {
    **dict.fromkeys(("born", "birth", "birthdate", "birthday", "birthed", "birthplace"), "birth"),
    **dict.fromkeys(("die", "died", "dies", "dying", "dead", "death"), "death"),
    **dict.fromkeys(("write", "writes", "wrote", "written", "writer", "writing"), "write"),
    **dict.fromkeys(("sing", "sang", "sung", "singer", "song"), "sing"),
    **dict.fromkeys(("build", "built", "builder"), "build"),
    **dict.fromkeys(("win", "won", "winner", "wins"), "win"),
    **dict.fromkeys(("lead", "led", "leader", "leads"), "lead"),
    **dict.fromkeys(("teach", "taught", "teacher"), "teach"),
    **dict.fromkeys(("make", "made", "maker", "makes"), "make"),
    **dict.fromkeys(("speak", "spoke", "spoken", "speaker"), "speak"),
}
_STOP_TEXT = """
a about all an and any are as at be been by can could did do does everybody everyone everything find for from give
graph had happen happened happens has have he her him his how i in into is it its know list many me much name of on or
please s say says she show tell that the their them there they this those to us was we were what when where which who
whom whose why will with would you
"""
STOP_WORDS = frozenset(_STOP_TEXT.split())
"""Words that carry nothing of what is asked."""
YES_OR_NO = frozenset(("are", "did", "do", "does", "had", "has", "have", "is", "was", "were"))
"""Words that begin a question to be answered with yes or no."""


@lru_cache(maxsize=10_000)  # the names of predicates, for every question
def stems(text: str) -> tuple[str, ...]:
    """The stems of the text's words in order, without stop words."""
    return tuple(stem for word in words(text) if (stem := stem_of(word)))


def words(text: str) -> tuple[str, ...]:
    """The text's words in order: case-folded, without accents and possessive endings."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    found = (match.group().replace("’", "'") for match in _WORD.finditer(plain.casefold()))
    return tuple(word.removesuffix("'s") for word in found)


@lru_cache(maxsize=100_000)
def stem_of(word: str) -> str:
    """The word without an English inflection; empty for a stop word. The S-stemmer (Harman 1991), -ed and -ing."""
    if word in STOP_WORDS:
        return ""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 3 or not word.isalpha():
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith(("us", "ss", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            bare = word[: -len(ending)]
            return bare[:-1] if bare[-1] == bare[-2] and bare[-1] not in "ls" else bare
    return word.removesuffix("e") if len(word) > 4 else word


def are_related(a: str, b: str) -> bool:
    """Whether two stems are one, one derives from the other (direct, director), or most of both is one beginning."""
    if a == b:
        return True
    shorter, longer = sorted((a, b), key=len)
    if len(shorter) >= _MIN_STEM and longer.startswith(shorter):
        return longer[len(shorter) :] in _DERIVATIONS
    common = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(shorter))
    return common >= _MIN_COMMON and common * 10 >= 6 * len(longer)


def agreement(wanted: Sequence[str], offered: Sequence[str]) -> float:
    """How far two lists of stems agree, from 0 to 1: the harmonic mean of both shares (the F1 measure)."""
    if not wanted or not offered:
        return 0.0
    covered = sum(any(are_related(a, b) for b in offered) for a in wanted) / len(wanted)
    used = sum(any(are_related(a, b) for a in wanted) for b in offered) / len(offered)
    return 2 * covered * used / (covered + used) if covered else 0.0
