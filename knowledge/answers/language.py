"""Whether a question is in English: what is asked is found by English words, and in other languages by accident."""

import unicodedata

from knowledge.search.words import STOP_WORDS, words

# Function words of German, French, Spanish, Italian, Portuguese and Dutch that are no English words.
_FOREIGN_TEXT = """
aan aus bei che chi como con cosa cual cuando cuales cuantos da dans das de dei del della dem den der des desde di dit
donde dont dos dove du ein eine einem einen einer el elle en era es est et eu eux foi fu fue gli hat hatte hebben heeft
het hij ist ja las le les lo los mit moi naar nel nella nicht noi nos nous nie o ou onde per pour por qual quale quali
quand quando que quel quelle quels qui quien quienes quoi sein seine seiner sich sind som sont sua suo sur toen uma un
una und une van vom von voor waar wann wanneer waren warum was wat welche welcher welches wem wen wer werd wie wo wurde
wurden zum zur
"""
_FOREIGN = frozenset(_FOREIGN_TEXT.split()) - STOP_WORDS


def is_english(question: str) -> bool:
    """Whether a question, without its names, may be English: few words, such as a predicate's name, may be."""
    if any(_is_of_another_script(char) for char in question):
        return False
    said = words(_without_titles(question))
    return sum(word in _FOREIGN for word in said) <= sum(word in STOP_WORDS and word != "it" for word in said)


def _without_titles(question: str) -> str:
    """The question without capitalised words beside each other: "La Dolce Vita" says nothing about the asker."""
    tokens = question.split()
    capital = [False, *(token[0].isupper() for token in tokens), False]
    return " ".join(
        token for n, token in enumerate(tokens, 1) if not (capital[n] and (capital[n - 1] or capital[n + 1]))
    )


def _is_of_another_script(char: str) -> bool:
    return char.isalpha() and not unicodedata.name(char, "LATIN").startswith(("LATIN", "GREEK"))
