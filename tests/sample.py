"""A small ontology and document for tests, and a scripted chat model that knows what the document says."""

import json
import re
from typing import Any

from knowledge.domain import Document
from knowledge.ids import OrganizationId
from knowledge.ontology import Ontology, load_ontology
from tests.scripted_endpoint import JSON, Reply, chat_reply, embeddings_reply

ONTOLOGY = b"""
@prefix : <https://example.org/o#> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
<https://example.org/o> a owl:Ontology ; rdfs:label "Sample" .
:Person a owl:Class ; rdfs:label "person" .
:Scientist a owl:Class ; rdfs:label "scientist" ; rdfs:subClassOf :Person .
:City a owl:Class ; rdfs:label "city" .
:Prize a owl:Class ; rdfs:label "prize" .
:bornIn a owl:ObjectProperty ; rdfs:label "born in" ; rdfs:domain :Person ; rdfs:range :City .
:won a owl:ObjectProperty ; rdfs:label "won" ; rdfs:domain :Person ; rdfs:range :Prize .
:birthDate a owl:DatatypeProperty ; rdfs:label "birth date" ; rdfs:domain :Person ; rdfs:range xsd:date .
"""
NAMESPACE = "https://example.org/o#"
TEXT = (
    "Ada Brandt was born in Oslo on 4 May 1901. She was a scientist.\n\n"
    "In 1930 Brandt won the Nordlys Prize. The prize is given in Oslo every year."
)
_KNOWN = {
    "Ada Brandt": ("Ada Brandt", ["scientist"]),
    "Brandt": ("Ada Brandt", ["scientist"]),
    "Oslo": ("Oslo", ["city"]),
    "Nordlys Prize": ("Nordlys Prize", ["prize"]),
}
_FACTS = (
    ("Ada Brandt", "born in", "Oslo", None, "Ada Brandt was born in Oslo on 4 May 1901."),
    ("Ada Brandt", "birth date", None, "4 May 1901", "Ada Brandt was born in Oslo on 4 May 1901."),
    ("Ada Brandt", "won", "Nordlys Prize", None, "In 1930 Brandt won the Nordlys Prize."),
)


def sample_ontology() -> Ontology:
    """The ontology."""
    return load_ontology(ONTOLOGY, "sample.ttl")


def sample_document(organization_id: OrganizationId, text: str = TEXT) -> Document:
    """The document, as an organisation's."""
    return Document.of(organization_id, "brandt", text)


def knowing_model(path: str, body: JSON) -> Reply:
    """Answers like a model that has understood the sample: by the schema asked for, from the passage shown."""
    if path.endswith("/embeddings"):
        return embeddings_reply([[float(len(text)), 1.0, 2.0] for text in body["input"]])
    prompt: str = body["messages"][1]["content"]
    found = re.search(r"<passage>\n(.*)\n</passage>", prompt, re.DOTALL)
    assert found is not None
    passage, listed = found.group(1), [json.loads(line) for line in prompt.splitlines() if line.startswith("{")]
    answer = _ANSWERS[body["response_format"]["json_schema"]["name"]](passage, listed)
    return chat_reply(json.dumps(answer))


def _mentions(passage: str, listed: list[Any]) -> JSON:
    pattern = "|".join(sorted(_KNOWN, key=len, reverse=True))
    return {"mentions": [{"text": m.group(), "start": m.start()} for m in re.finditer(pattern, passage)]}


def _entities(passage: str, listed: list[Any]) -> JSON:
    known = [(item["id"], *_KNOWN[item["text"]]) for item in listed]
    present = {item["text"] for item in listed}
    return {
        "entities": [
            {"mention_id": n, "name": name if name in present else name.split()[-1], "types": types}
            for n, name, types in known
        ]
    }


def _relations(passage: str, listed: list[Any]) -> JSON:
    ids = {name: item["id"] for item in listed for name in _KNOWN if _KNOWN[name][0] == _KNOWN[item["name"]][0]}
    return {
        "relations": [
            {
                "subject_id": ids[subject],
                "predicate": predicate,
                "object_id": ids.get(target or ""),
                "object_literal": literal,
                "evidence": evidence,
                "confidence": 0.9,
            }
            for subject, predicate, target, literal, evidence in _FACTS
            if evidence in passage and subject in ids and (literal or target in ids)
        ]
    }


_ANSWERS = {"mentions": _mentions, "entities": _entities, "relations": _relations}
