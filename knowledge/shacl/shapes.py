"""Shapes that say what an ontology says of its properties."""

from collections.abc import Iterable, Iterator

from pyoxigraph import Literal

from knowledge.literals import DATE_PARTS
from knowledge.ontology import Ontology, OntologyProperty, PropertyKind

_PREFIXES = """\
@prefix sh: <http://www.w3.org/ns/shacl#> .
@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
"""
_XSD = "http://www.w3.org/2001/XMLSchema#"
_WHOLE_DATES = {_XSD + "date", _XSD + "dateTime"}


def shapes_of(ontology: Ontology) -> str:
    """SHACL shapes in Turtle for domains, ranges and functional properties, to the measure of `stages.validation`.

    Several domains or ranges are alternatives; an end that is known as something more general, or as nothing, does
    not violate them; dates may be less precise. Domains and ranges are violations, a second value of a functional
    property is a warning.
    """
    shapes = (line for prop in ontology.properties for line in _shapes_of(prop, ontology))
    return _PREFIXES + "\n".join(shapes)


def _shapes_of(prop: OntologyProperty, ontology: Ontology) -> Iterator[str]:
    domains = _known(ontology.effective_domains(prop), ontology)
    if domains:
        yield _shape(f"sh:targetSubjectsOf <{prop.iri}>", _classes(domains, ontology), f"outside domain: {prop.name}")
    ranges = ontology.effective_ranges(prop)
    if prop.kind is PropertyKind.DATATYPE:
        datatypes = _datatypes(ranges)
        if datatypes:
            yield _shape(f"sh:targetObjectsOf <{prop.iri}>", datatypes, f"outside range: {prop.name}")
    elif known := _known(ranges, ontology):
        yield _shape(f"sh:targetObjectsOf <{prop.iri}>", _classes(known, ontology), f"outside range: {prop.name}")
    if prop.functional:
        yield (
            f"[] a sh:NodeShape ; sh:targetSubjectsOf <{prop.iri}> ; sh:property [ sh:path <{prop.iri}> ;"
            f" sh:maxCount 1 ; sh:severity sh:Warning ; sh:message {Literal(f'several values: {prop.name}')} ] ."
        )


def _shape(target: str, alternatives: Iterable[str], message: str) -> str:
    said = " ".join(f"[ {alternative} ]" for alternative in alternatives)
    return f"[] a sh:NodeShape ; {target} ; sh:or ( {said} ) ; sh:message {Literal(message)} ."


def _known(classes: Iterable[str], ontology: Ontology) -> tuple[str, ...]:
    return tuple(iri for iri in classes if ontology.get_class(iri) is not None)


def _classes(wanted: tuple[str, ...], ontology: Ontology) -> Iterator[str]:
    yield from (f"sh:class <{iri}>" for iri in wanted)
    above = sorted({general for iri in wanted for general in ontology.ancestors(iri)} - set(wanted))
    yield from (f"sh:property [ sh:path rdf:type ; sh:hasValue <{iri}> ]" for iri in above)
    yield "sh:property [ sh:path rdf:type ; sh:maxCount 0 ]"


def _datatypes(ranges: Iterable[str]) -> tuple[str, ...]:
    names = {iri for iri in ranges if iri.startswith(_XSD)}
    if names & _WHOLE_DATES:
        names |= {_XSD + part for part in DATE_PARTS}
    return tuple(f"sh:datatype <{iri}>" for iri in sorted(names))
