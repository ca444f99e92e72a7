"""Finds things that have no proper name, such as a substance or a discovery, where a relation speaks of them."""

from collections.abc import Iterator

from knowledge.models.embedded.cues import Cue, Slot
from knowledge.models.embedded.lexicon import taxonomy
from knowledge.models.embedded.parsing import NamedSpan, Parse, is_known
from knowledge.models.embedded.slots import Frame
from knowledge.models.embedded.vocabulary import ClassVocabulary
from knowledge.ontology import PropertyKind

# What is commonly written in lower case; people, places, organizations and works are not.
_COMMON_KINDS = frozenset(
    {"substance", "concept", "discipline", "theory", "discovery", "invention", "genre", "species", "food", "disease"}
)
_DETERMINED = frozenset({"the"})


def find_unnamed(
    parse: Parse,
    frames: tuple[Frame, ...],
    cues: dict[str, tuple[Cue, ...]],
    vocabulary: ClassVocabulary,
    named: frozenset[int],
) -> list[NamedSpan]:
    """Noun phrases in lower case at one end of a relation whose other end is named (or a pronoun), in order.

    Only for properties with a domain or range of a kind that has no proper names; the phrase has no article or
    the definite one, so that "discovered radium" counts and "discovered a method" does not.
    """
    found = {
        span.last: span
        for frame in frames
        for cue in cues.get(frame.lemma, ())
        if cue.modifiers <= frame.modifiers and cue.property.kind is PropertyKind.OBJECT
        for span in _of_cue(parse, frame, cue, vocabulary, named)
    }
    return [found[last] for last in sorted(found)]


def _of_cue(
    parse: Parse, frame: Frame, cue: Cue, vocabulary: ClassVocabulary, named: frozenset[int]
) -> Iterator[NamedSpan]:
    ontology = vocabulary.ontology
    ends: tuple[tuple[Slot, Slot, tuple[str, ...]], ...] = (
        (cue.subject, cue.object, ontology.effective_domains(cue.property)),
        (cue.object, cue.subject, ontology.effective_ranges(cue.property)),
    )
    for slot, other, classes in ends:
        others = frame.slots.get(other.name, ())
        if not _are_common(classes, vocabulary) or not any(i in named or parse.tokens[i].pos == "PRON" for i in others):
            continue
        for index in frame.slots.get(slot.name, ()):
            span = _phrase(parse, index)
            if span is not None and named.isdisjoint(range(span.first, span.last)):
                yield span


def _are_common(classes: tuple[str, ...], vocabulary: ClassVocabulary) -> bool:
    nouns = (vocabulary.nouns.get(iri, "") for iri in classes)
    return any(taxonomy().broader_than(noun) & _COMMON_KINDS for noun in nouns)


def _phrase(parse: Parse, index: int) -> NamedSpan | None:
    """The noun at a token with what stands before it, if the whole could be a name for something."""
    token = parse.tokens[index]
    if token.pos != "NOUN" or token.tag != "NN" or not token.text.islower() or taxonomy().find(token.lemma):
        return None
    first = index
    for child in parse.children[index]:
        part = parse.tokens[child]
        if part.dep == "det" and part.lemma not in _DETERMINED:
            return None
        if part.dep in {"poss", "nummod", "relcl"} or (part.dep == "prep" and part.lemma == "of"):
            return None
        if part.dep in {"compound", "amod"}:
            if not part.text.islower() and child != parse.sentences[part.sentence].first:
                return None
            first = min(first, child)
    contiguous = all(parse.tokens[i].pos in {"NOUN", "ADJ"} for i in range(first, index))
    return NamedSpan(first, index + 1, "") if contiguous and is_known(token.lemma, "NOUN") else None
