"""Namespaces and prefixes of RDF exports."""

import re
from collections.abc import Iterable

from pyoxigraph import NamedNode

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
XSD = "http://www.w3.org/2001/XMLSchema#"
PROV = "http://www.w3.org/ns/prov#"
DCTERMS = "http://purl.org/dc/terms/"
NIF = "http://persistence.uni-leipzig.org/nlp2rdf/ontologies/nif-core#"
ITSRDF = "http://www.w3.org/2005/11/its/rdf#"
TERMS = "urn:knowledge:terms:"

STANDARD_PREFIXES = {
    "rdf": RDF,
    "rdfs": RDFS,
    "skos": SKOS,
    "xsd": XSD,
    "prov": PROV,
    "dcterms": DCTERMS,
    "nif": NIF,
    "itsrdf": ITSRDF,
    "terms": TERMS,
}

TYPE = NamedNode(RDF + "type")
LABEL = NamedNode(RDFS + "label")
ALT_LABEL = NamedNode(SKOS + "altLabel")
SAME_AS = NamedNode("http://www.w3.org/2002/07/owl#sameAs")
STRING = XSD + "string"

_NOT_IN_PREFIX = re.compile(r"[^a-z0-9]+")
_UNTELLING = re.compile(r"v?[\d._-]*|www\..*|https?")


def prefixes_for(iris: Iterable[str]) -> dict[str, str]:
    """Prefixes for the namespaces of these IRIs, named after the namespaces' last telling part."""
    prefixes = dict(STANDARD_PREFIXES)
    for namespace in sorted({_namespace(iri) for iri in iris} - set(prefixes.values()) - {""}):
        base = name = _prefix_name(namespace)
        number = 2
        while name in prefixes:
            name, number = f"{base}{number}", number + 1
        prefixes[name] = namespace
    return prefixes


def _namespace(iri: str) -> str:
    """The IRI up to and with its last `#`, `/` or `:`."""
    return iri[: max(iri.rfind("#"), iri.rfind("/"), iri.rfind(":")) + 1]


def _prefix_name(namespace: str) -> str:
    parts = [part.lower() for part in re.split(r"[#/:]", namespace) if not _UNTELLING.fullmatch(part.lower())]
    name = _NOT_IN_PREFIX.sub("", parts[-1]) if parts else ""
    return name if name[:1].isalpha() else f"ns{name}"
