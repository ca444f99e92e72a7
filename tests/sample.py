"""A small ontology and document for tests, and a scripted chat model that knows what the document says."""

import json
import re

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
    """Answers like a model that has understood the sample, from the passage shown."""
    if path.endswith("/embeddings"):
        return embeddings_reply([[float(len(text)), 1.0, 2.0] for text in body["input"]])
    found = re.search(r"<passage>\n(.*)\n</passage>", body["messages"][1]["content"], re.DOTALL)
    assert found is not None
    return chat_reply(json.dumps(knowing_answer(found.group(1))))


def knowing_answer(passage: str) -> JSON:
    """What is to be said about the passage."""
    places: dict[str, list[JSON]] = {}
    for match in re.finditer("|".join(sorted(_KNOWN, key=len, reverse=True)), passage):
        places.setdefault(_KNOWN[match.group()][0], []).append({"text": match.group(), "start": match.start()})
    ids = {name: f"e{n}" for n, name in enumerate(places, 1)}
    return {
        "entities": [
            {
                "id": ids[name],
                "name": max((m["text"] for m in mentions), key=len),
                "types": _KNOWN[name][1],
                "mentions": mentions,
            }
            for name, mentions in places.items()
        ],
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
            if evidence in passage
        ],
    }
