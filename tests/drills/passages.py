"""The drills' document: many short paragraphs, each a chunk and each different, and a model that understands them.

Endings tell what a name is (`…sen` a scientist, `…stad` a city, `… Prize` a prize), so an answer depends on the
passage alone, and on nothing that was asked before.
"""

import hashlib
import json
import re

from tests.sample import NAMESPACE, ONTOLOGY
from tests.scripted_endpoint import JSON, Reply, chat_reply, embeddings_reply

__all__ = ["CHUNK_CHARACTERS", "MODEL", "NAMESPACE", "ONTOLOGY", "document_text", "understanding_model"]

MODEL = "scripted"
CHUNK_CHARACTERS = 200
"""One paragraph fits, two do not."""

_FIRST_NAMES = ("Ada", "Ilse", "Marta", "Jonas", "Pavel", "Nora", "Emil", "Sofia", "Viktor", "Greta")
_MONTHS = ("January", "March", "May", "July", "October")
_CITIES = ("Tarstad", "Orlastad", "Venstad", "Holmstad", "Kirstad")
_PRIZES = ("Nordlys Prize", "Kelvar Prize", "Aurora Prize")
_CONSONANTS, _VOWELS = "bdfgklmnprtv", "aeiou"
_NAME = re.compile(r"(?:[A-Z][a-z]+ )?[A-Z][a-z]+sen\b|[A-Z][a-z]+stad\b|[A-Z][a-z]+ Prize\b")
_BORN = re.compile(r"([A-Z][a-z]+ [A-Z][a-z]+sen) was born in ([A-Z][a-z]+stad) on (\d+ [A-Z][a-z]+ \d{4})\.")
_WON = re.compile(r"In \d{4} ([A-Z][a-z]+sen) won the ([A-Z][a-z]+ Prize)\.")
_DIMENSIONS = 8


def document_text(paragraphs: int, *, edition: int = 1, first: int = 0) -> str:
    """A document of so many chunks, from paragraph `first` on; editions differ in the last paragraph only.

    Documents without a common paragraph have no question in common.
    """
    last = first + paragraphs - 1
    return "\n\n".join(_paragraph(n, edition if n == last else 1) for n in range(first, last + 1))


def _paragraph(n: int, edition: int) -> str:
    name, surname = _FIRST_NAMES[n % len(_FIRST_NAMES)], _surname(n)
    city, prize = _CITIES[n % len(_CITIES)], _PRIZES[n % len(_PRIZES)]
    born, won = 1800 + n % 90, 1830 + n % 90 + edition
    date = f"{1 + n % 28} {_MONTHS[n % len(_MONTHS)]} {born}"
    # The surname alone of the one before makes entities that only the whole document can resolve.
    before = f" {_surname(n - 1)} was there." if n % 3 == 2 else ""
    life = f"{name} {surname} was born in {city} on {date}. In {won} {surname} won the {prize}."
    return f"{life}{before} There was a dinner in the old town hall, and it rained."


def _surname(n: int) -> str:
    syllables = ""
    for place in range(3):
        n, consonant = divmod(n * 7 + 5 * place, len(_CONSONANTS))
        syllables += _CONSONANTS[consonant] + _VOWELS[(n + consonant + place) % len(_VOWELS)]
    return f"{syllables.capitalize()}sen"


def understanding_model(path: str, body: JSON) -> Reply:
    """The answer to a question about a passage of the document; of links between documents it knows nothing."""
    if path.endswith("/embeddings"):
        return embeddings_reply([_vector(text) for text in body["input"]])
    if body["response_format"]["json_schema"]["name"] == "links":
        return chat_reply(json.dumps({"verdicts": []}))
    found = re.search(r"<passage>\n(.*)\n</passage>", body["messages"][1]["content"], re.DOTALL)
    assert found is not None
    return chat_reply(json.dumps(_answer(found.group(1))))


def _vector(text: str) -> list[float]:
    return [byte / 255 + 0.01 for byte in hashlib.sha256(text.encode()).digest()[:_DIMENSIONS]]


def _answer(passage: str) -> JSON:
    texts = {found.group() for found in _NAME.finditer(passage)}
    mentions: dict[str, list[JSON]] = {}
    for found in _NAME.finditer(passage):
        mention = {"text": found.group(), "start": found.start()}
        mentions.setdefault(_fullest(found.group(), texts), []).append(mention)
    ids = {name: f"e{n}" for n, name in enumerate(mentions, 1)}
    entities = [
        {"id": ids[name], "name": name, "types": [_type_of(name)], "mentions": said} for name, said in mentions.items()
    ]
    return {
        "entities": entities,
        "relations": _relations(passage, {text: ids[_fullest(text, texts)] for text in texts}),
    }


def _fullest(name: str, names: set[str]) -> str:
    return next((other for other in sorted(names) if other.endswith(f" {name}")), name)


def _type_of(name: str) -> str:
    return "scientist" if name.endswith("sen") else "city" if name.endswith("stad") else "prize"


def _relations(passage: str, ids: dict[str, str]) -> list[JSON]:
    facts: list[JSON] = []
    for found in _BORN.finditer(passage):
        person, city, date = found.groups()
        if person not in ids or city not in ids:
            continue
        facts.append(_fact(ids[person], "born in", ids[city], None, found.group()))
        facts.append(_fact(ids[person], "birth date", None, date, found.group()))
    for found in _WON.finditer(passage):
        surname, prize = found.groups()
        if surname not in ids or prize not in ids:
            continue
        facts.append(_fact(ids[surname], "won", ids[prize], None, found.group()))
    return facts


def _fact(subject: str, predicate: str, target: str | None, literal: str | None, evidence: str) -> JSON:
    return {
        "subject_id": subject,
        "predicate": predicate,
        "object_id": target,
        "object_literal": literal,
        "evidence": evidence,
        "confidence": 0.9,
    }
