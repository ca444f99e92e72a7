"""The vocabularies in which ontologies are written, and what of them is bookkeeping."""

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
OWL = "http://www.w3.org/2002/07/owl#"
XSD = "http://www.w3.org/2001/XMLSchema#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
DC = "http://purl.org/dc/elements/1.1/"
DCTERMS = "http://purl.org/dc/terms/"
SCHEMA = ("http://schema.org/", "https://schema.org/")

TYPE = RDF + "type"
SUB_CLASS_OF = RDFS + "subClassOf"
SUB_PROPERTY_OF = RDFS + "subPropertyOf"

CLASS_TYPES = frozenset({OWL + "Class", RDFS + "Class"})
PROPERTY_TYPES = frozenset(
    {
        RDF + "Property",
        *(
            OWL + name
            for name in (
                "ObjectProperty",
                "DatatypeProperty",
                "FunctionalProperty",
                "InverseFunctionalProperty",
                "SymmetricProperty",
                "AsymmetricProperty",
                "TransitiveProperty",
                "ReflexiveProperty",
                "IrreflexiveProperty",
            )
        ),
    }
)
OBJECT_PROPERTY_TYPES = PROPERTY_TYPES - {RDF + "Property", OWL + "DatatypeProperty", OWL + "FunctionalProperty"}
BOOKKEEPING_PROPERTY_TYPES = frozenset({OWL + "AnnotationProperty", OWL + "OntologyProperty"})
DEPRECATED_TYPES = frozenset({OWL + "DeprecatedClass", OWL + "DeprecatedProperty"})

DOMAINS = (RDFS + "domain", *(base + "domainIncludes" for base in SCHEMA))
RANGES = (RDFS + "range", *(base + "rangeIncludes" for base in SCHEMA))
NAMES = (RDFS + "label", SKOS + "prefLabel", *(base + "name" for base in SCHEMA))
OTHER_NAMES = (SKOS + "altLabel", *(base + "alternateName" for base in SCHEMA))
TITLES = (*NAMES, DCTERMS + "title", DC + "title")
COMMENTS = (
    RDFS + "comment",
    SKOS + "definition",
    DCTERMS + "description",
    DC + "description",
    *(base + "description" for base in SCHEMA),
)

_BOOKKEEPING = (RDF, RDFS, OWL, XSD)
_LITERAL_CLASSES = {
    RDFS + "Literal": XSD + "string",
    RDF + "langString": XSD + "string",
    RDF + "PlainLiteral": XSD + "string",
    RDF + "HTML": XSD + "string",
    RDF + "XMLLiteral": XSD + "string",
    OWL + "real": XSD + "decimal",
    OWL + "rational": XSD + "decimal",
}
# Local names, in lower case, under which ontologies speak of literals as if these were classes.
_LITERAL_NAMES = {
    "string": "string",
    "text": "string",
    "literal": "string",
    "number": "decimal",
    "numeric": "decimal",
    "decimal": "decimal",
    "float": "float",
    "double": "double",
    "int": "integer",
    "integer": "integer",
    "boolean": "boolean",
    "bool": "boolean",
    "date": "date",
    "datetime": "dateTime",
    "timestamp": "dateTime",
    "time": "time",
    "year": "gYear",
    "gyear": "gYear",
    "duration": "duration",
    "url": "anyURI",
    "uri": "anyURI",
    "anyuri": "anyURI",
}


def is_bookkeeping(iri: str) -> bool:
    """Whether the IRI belongs to RDF, RDFS, OWL or XSD: no ontology's own class or property."""
    return iri.startswith(_BOOKKEEPING)


def datatype_of(iri: str) -> str | None:
    """The datatype that a standard range stands for: itself when XSD, `xsd:string` for plain literals."""
    return iri if iri.startswith(XSD) else _LITERAL_CLASSES.get(iri)


def datatype_named(local_name: str) -> str | None:
    """The XSD datatype that a name like `string`, `Number` or `Date` means."""
    name = _LITERAL_NAMES.get(local_name.lower())
    return name and XSD + name
