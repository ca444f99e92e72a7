"""Who or what a token stands for: a named thing, also through a pronoun or a phrase such as "the company"."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from knowledge.models.embedded.lexicon import taxonomy
from knowledge.models.embedded.parsing import NamedSpan, Parse, Token
from knowledge.models.embedded.profiles import Profile, is_label

_HE = frozenset({"he", "him", "his", "himself"})
_SHE = frozenset({"she", "her", "hers", "herself"})
_IT = frozenset({"it", "its", "itself"})
_RELATIVE = frozenset({"who", "whom", "whose", "which", "that"})
_REACH_OF_PRONOUNS = 3
# "The film" may well be another one than that of the sentence before last.
_REACH_OF_PHRASES = 1
_SUBJECT_CERTAINTY = 0.85
# Where the passage has spoken of several films, "the film" is mostly none of those that are near.
_PHRASE_CERTAINTY = 0.6


@dataclass(frozen=True, slots=True)
class Reference:
    """An entity by index; `certainty` is 1 where the text names it, less where a rule resolved it."""

    entity: int
    certainty: float


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an entity was last spoken of."""

    token: int
    sentence: int
    entity: int
    is_subject: bool


def _is_person(profile: Profile) -> bool:
    return profile.in_full and profile.is_a("person") > 0.5


class References:
    """Resolves the tokens of one passage, once its entities and their mentions are known."""

    def __init__(self, parse: Parse, mentions: dict[int, tuple[NamedSpan, ...]], profiles: dict[int, Profile]) -> None:
        self._parse = parse
        self._profiles = profiles
        self._named: dict[int, int] = {}
        self._heads: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        for entity, spans in mentions.items():
            for span in spans:
                self._named.update(dict.fromkeys(range(span.first, span.last), entity))
                self._starts[span.first] = entity
                self._heads[parse.head_of(span.first, span.last)] = entity
        self._resolved: dict[int, Reference] = {}
        self._history: list[_Place] = []
        self._read()

    def of(self, index: int) -> Reference | None:
        """What a token stands for, if that is an entity."""
        return self._of(index, 4)

    def entity_naming(self, index: int) -> int | None:
        """The entity within whose name a token lies."""
        return self._named.get(index)

    def _of(self, index: int, depth: int) -> Reference | None:
        if index in self._heads:
            return Reference(self._heads[index], 1.0)
        if index in self._named:
            return Reference(self._named[index], 0.95)
        found = self._resolved.get(index)
        if found is not None or depth == 0:
            return found
        token = self._parse.tokens[index]
        if token.lemma in _RELATIVE or token.tag in {"WP", "WP$", "WDT"}:
            return self._relative(token, depth)
        return self._through_noun(token, depth) if token.pos in {"NOUN", "PROPN"} else None

    def _relative(self, token: Token, depth: int) -> Reference | None:
        """ "who" and "which" stand for what their clause describes."""
        current = token
        for _ in range(4):
            if current.dep == "relcl":
                return self._of(current.head, depth - 1)
            if current.head == current.index:
                return None
            current = self._parse.tokens[current.head]
        return None

    def _through_noun(self, token: Token, depth: int) -> Reference | None:
        """A noun that a name is in apposition to, or that a clause of being calls a named subject."""
        parse = self._parse
        for child in parse.dependents(token.index, "appos"):
            if child in self._heads:
                return Reference(self._heads[child], 0.95)
        following = self._starts.get(token.index + 1)
        if following is not None and is_label(parse, token.index):
            return Reference(following, 0.95)
        if token.dep == "appos" and token.head in self._heads:
            return Reference(self._heads[token.head], 0.95)
        head = parse.tokens[token.head]
        if token.dep == "attr" and head.lemma in {"be", "become"}:
            for subject in parse.dependents(head.index, "nsubj"):
                return self._of(subject, depth - 1)
        if token.dep == "conj" and head.pos == "NOUN" and head.dep in {"attr", "appos", "conj"}:
            return self._through_noun(head, depth - 1) if depth > 1 else None
        return self._wrapped(token)

    def _wrapped(self, token: Token) -> Reference | None:
        """ "the city of X" is X when a city is what X can be."""
        if not taxonomy().broader_than(token.lemma) & {"territory", "landform"}:
            return None
        for child in self._parse.dependents(token.index, "prep"):
            if self._parse.tokens[child].lemma == "of":
                for inner in self._parse.dependents(child, "pobj"):
                    entity = self._heads.get(inner)
                    if entity is not None and self._profiles[entity].is_a(token.lemma) > 0:
                        return Reference(entity, 0.95)
        return None

    def _read(self) -> None:
        """Goes through the passage in order, resolving pronouns and phrases by what was said before."""
        for token in self._parse.tokens:
            entity = self._heads.get(token.index)
            if entity is None:
                found = self._pronoun(token) if token.pos == "PRON" else self._definite(token)
                if found is None:
                    continue
                self._resolved[token.index] = found
                entity = found.entity
            is_subject = self._is_in_subject(token)
            self._history.append(_Place(token.index, token.sentence, entity, is_subject))

    def _is_in_subject(self, token: Token) -> bool:
        """Whether a token is the subject of its clause, or owns it: "the length of X is"."""
        if token.dep in {"nsubj", "nsubjpass"}:
            return True
        tokens = self._parse.tokens
        above = tokens[token.head]
        if token.dep == "pobj" and above.lemma == "of":
            above = tokens[above.head]
        elif token.dep != "poss":
            return False
        return above.dep in {"nsubj", "nsubjpass"} and above.index not in self._heads

    def _pronoun(self, token: Token) -> Reference | None:
        word = token.text.lower()
        if word in _HE or word in _SHE:
            wanted = "he" if word in _HE else "she"
            return self._latest(token, lambda p: _is_person(p) and p.pronoun in {wanted, ""}, wanted)
        if word in _IT and not self._is_expletive(token):
            return self._latest(token, lambda p: p.pronoun == "it" or (p.pronoun == "" and p.is_a("person") < 1), "it")
        return None

    def _is_expletive(self, token: Token) -> bool:
        """ "It was in 1903 that": an "it" that stands for nothing."""
        verb = self._parse.tokens[token.head]
        return token.dep == "nsubj" and any(
            self._parse.tokens[c].dep in {"ccomp", "advcl", "relcl", "acomp"} for c in self._parse.children[verb.index]
        )

    def _definite(self, token: Token) -> Reference | None:
        """ "the company": the latest thing known to be one."""
        if token.pos != "NOUN" or token.dep in {"attr", "appos", "compound"}:
            return None
        children = [self._parse.tokens[c] for c in self._parse.children[token.index]]
        definite = any(c.dep == "det" and c.lemma in {"the", "this"} for c in children)
        narrowed = any(
            c.dep in {"prep", "amod", "compound", "appos", "relcl", "acl", "nummod", "nmod"} for c in children
        )
        if not definite or narrowed or taxonomy().find(token.lemma) is None:
            return None
        found = self._latest(token, lambda p: p.is_a(token.lemma) == 1.0, "", reach=_REACH_OF_PHRASES)
        if found is None or found.certainty < _SUBJECT_CERTAINTY:
            return None
        of_kind = {place.entity for place in self._history if self._profiles[place.entity].is_a(token.lemma) == 1.0}
        return replace(found, certainty=_PHRASE_CERTAINTY) if len(of_kind) > 1 else found

    def _latest(
        self, token: Token, suits: Callable[[Profile], bool], pronoun: str, reach: int = _REACH_OF_PRONOUNS
    ) -> Reference | None:
        """The subject of this or the latest sentence that suits, else the latest of all that does."""
        near = [p for p in reversed(self._history) if token.sentence - p.sentence <= reach]
        suited = [p for p in near if suits(self._profiles[p.entity])]
        if not suited:
            return None
        certain = [p for p in suited if pronoun and self._profiles[p.entity].pronoun == pronoun]
        subjects = [p for p in suited if p.is_subject]
        best = subjects[0] if subjects else suited[0]
        if certain and certain[0].sentence >= best.sentence and not best.is_subject:
            best = certain[0]
        rivals = {p.entity for p in suited if p.sentence == best.sentence and p.is_subject}
        base = _SUBJECT_CERTAINTY if best.is_subject else 0.7
        return Reference(best.entity, base - 0.15 if len(rivals) > 1 else base)
