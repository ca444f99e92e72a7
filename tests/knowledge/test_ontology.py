"""What an ontology file means, however it is written."""

import pickle

import pytest
from pyoxigraph import RdfFormat, parse, serialize

from knowledge.errors import OntologyRefused
from knowledge.ontology import Label, Ontology, PropertyKind, load_ontology

PREFIXES = """
@prefix ex: <http://example.com/films#> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
"""
FILMS = """
<http://example.com/films> a owl:Ontology ; rdfs:label "Films" .
ex:Work a owl:Class ; rdfs:label "work"@en .
ex:Film a owl:Class ; rdfs:label "film"@en, "Spielfilm"@de ; skos:altLabel "motion picture"@en ;
    rdfs:subClassOf ex:Work ; rdfs:comment "A moving   picture." .
ex:Person a rdfs:Class ; rdfs:label "person"@en .
ex:directedBy a owl:ObjectProperty, owl:FunctionalProperty ; rdfs:label "directed by"@en ;
    rdfs:domain [ a owl:Class ; owl:unionOf ( ex:Film ex:Play ) ] ; rdfs:range ex:Person ; owl:inverseOf ex:directs .
ex:directs a owl:ObjectProperty .
ex:releaseDate a owl:DatatypeProperty ; rdfs:domain ex:Film ; rdfs:range xsd:date .
"""
EX = "http://example.com/films#"
XSD = "http://www.w3.org/2001/XMLSchema#"


def loaded(turtle: str) -> Ontology:
    return load_ontology((PREFIXES + turtle).encode(), "films.ttl")


def refusal(data: bytes, name: str = "films.ttl") -> OntologyRefused:
    with pytest.raises(OntologyRefused) as caught:
        load_ontology(data, name)
    return caught.value


def rewritten(turtle: str, form: RdfFormat) -> bytes:
    quads = list(parse(PREFIXES + turtle, format=RdfFormat.TURTLE))
    return serialize((quad.triple for quad in reversed(quads)), format=form) or b""


@pytest.fixture(scope="module")
def films() -> Ontology:
    return loaded(FILMS)


def kind_and_ranges(ontology: Ontology, name: str) -> tuple[PropertyKind, tuple[str, ...]]:
    prop = ontology.get_property(EX + name)
    assert prop is not None
    return prop.kind, prop.ranges


def test_classes_and_properties_are_read_with_names_labels_and_comments(films: Ontology) -> None:
    """These are what prompts show and answers are checked against."""
    film = films.get_class(EX + "Film")
    assert film is not None
    assert (film.name, film.comment, film.parents) == ("film", "A moving picture.", (EX + "Work",))
    assert film.labels == (Label("film", "en"), Label("Spielfilm", "de"), Label("motion picture", "en"))
    directed_by = films.get_property(EX + "directedBy")
    assert directed_by is not None
    assert directed_by.domains == (EX + "Film", EX + "Play")
    assert (directed_by.inverse_of, directed_by.functional) == (EX + "directs", True)
    assert kind_and_ranges(films, "releaseDate") == (PropertyKind.DATATYPE, (XSD + "date",))
    assert (films.iri, films.label) == ("http://example.com/films", "Films")


def test_an_inverse_holds_both_ways(films: Ontology) -> None:
    """It is usually stated on one side only."""
    directs = films.get_property(EX + "directs")
    assert directs is not None
    assert directs.inverse_of == EX + "directedBy"


def test_a_class_that_is_only_used_is_a_class(films: Ontology) -> None:
    """Published ontologies forget declarations; `Play` occurs only in a union."""
    play = films.get_class(EX + "Play")
    assert play is not None
    assert (play.name, play.labels) == ("Play", ())


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (RdfFormat.TURTLE, "films.ttl"),
        (RdfFormat.RDF_XML, "films.owl"),
        (RdfFormat.N_TRIPLES, "films.nt"),
        (RdfFormat.JSON_LD, "films.jsonld"),
        (RdfFormat.RDF_XML, "mislabelled.ttl"),
        (RdfFormat.TURTLE, "mislabelled.owl"),
        (RdfFormat.JSON_LD, "without-suffix"),
    ],
)
def test_every_serialisation_gives_the_same_ontology(films: Ontology, form: RdfFormat, name: str) -> None:
    """The digest keys stored answers: layout, order and blank node names must not change it."""
    assert load_ontology(rewritten(FILMS, form), name) == films


def test_the_digest_changes_with_the_meaning(films: Ontology) -> None:
    """Else answers made with another ontology would be taken for ours."""
    assert loaded(FILMS.replace("xsd:date", "xsd:gYear")).digest != films.digest
    assert loaded(FILMS.replace('"film"@en', '"movie"@en')).digest != films.digest


@pytest.mark.parametrize(
    "text",
    ["film", "Film", "SPIELFILM", "motion_picture", "MotionPicture", "ex:Film", ":film", f"<{EX}Film>", EX + "Film"],
)
def test_a_class_is_found_under_every_spelling(films: Ontology, text: str) -> None:
    """Models answer with names, labels, prefixed names or IRIs as they like."""
    assert films.class_of(text) == EX + "Film"


def test_a_name_of_nothing_or_of_several_finds_nothing(films: Ontology) -> None:
    """A guess would put facts under the wrong predicate."""
    twice = loaded('ex:A a owl:Class ; rdfs:label "place" . ex:B a owl:Class ; rdfs:label "Place" .')
    assert films.property_of("produced by") is None
    assert twice.class_of("place") is None
    assert [twice.class_of(term.name) for term in twice.classes] == [EX + "A", EX + "B"]


def test_names_are_unique_and_the_labelled_term_keeps_the_plain_one() -> None:
    """Foreign terms often share a local name with the ontology's own."""
    people = loaded('ex:Person a owl:Class ; rdfs:label "Person" ; rdfs:subClassOf <http://other.org/v1/Person> .')
    assert {term.iri: term.name for term in people.classes} == {
        EX + "Person": "Person",
        "http://other.org/v1/Person": "Person (other.org)",
    }


def test_the_preferred_name_is_english_then_unmarked_then_the_first_language() -> None:
    """One rule, so that the same file always gives the same prompts."""
    ontology = loaded(
        'ex:A a owl:Class ; rdfs:label "eins"@de, "one"@en-GB, "uno" . '
        'ex:B a owl:Class ; rdfs:label "zwei"@de, "two" . ex:C a owl:Class ; rdfs:label "trois"@fr, "drei"@de . '
        "ex:filmGenreOfTV a owl:Class ."
    )
    assert [term.name for term in ontology.classes] == ["one", "two", "drei", "film genre of TV"]


def test_ancestors_come_nearest_first_and_circles_end() -> None:
    """Faulty hierarchies exist; a stage must not hang on one."""
    ontology = loaded("ex:A rdfs:subClassOf ex:B . ex:B rdfs:subClassOf ex:C . ex:C rdfs:subClassOf ex:A .")
    assert ontology.ancestors(EX + "A") == (EX + "B", EX + "C")
    assert ontology.is_a(EX + "A", EX + "C")
    assert not ontology.is_a(EX + "A", EX + "D")


def test_superclasses_are_seen_through_intersections_and_left_out_classes() -> None:
    """OWL editors write definitions as intersections, and deprecate classes in the middle of a hierarchy."""
    ontology = loaded(
        "ex:A owl:equivalentClass [ owl:intersectionOf ( ex:B [ a owl:Restriction ; owl:onProperty ex:p ] ) ] ."
        "ex:C rdfs:subClassOf ex:Old . ex:Old rdfs:subClassOf ex:D ; owl:deprecated true . ex:D a owl:Class ."
    )
    assert ontology.ancestors(EX + "A") == (EX + "B",)
    assert ontology.ancestors(EX + "C") == (EX + "D",)
    assert ontology.get_class(EX + "Old") is None


def test_domains_and_ranges_are_inherited_from_super_properties() -> None:
    """A sub-property usually states only what it narrows."""
    ontology = loaded(
        "ex:made a rdf:Property ; rdfs:domain ex:Person ; rdfs:range ex:Film . ex:wrote rdfs:subPropertyOf ex:made ;"
        " a rdf:Property ; rdfs:range ex:Script . ex:Script a owl:Class ."
    )
    wrote = ontology.get_property(EX + "wrote")
    assert wrote is not None
    assert ontology.effective_domains(wrote) == (EX + "Person",)
    assert ontology.effective_ranges(wrote) == (EX + "Script",)


@pytest.mark.parametrize(
    ("statement", "kind", "ranges"),
    [
        ("a owl:ObjectProperty ; rdfs:range ex:string", PropertyKind.DATATYPE, ("string",)),
        ("a owl:ObjectProperty ; rdfs:range ex:Date", PropertyKind.DATATYPE, ("date",)),
        ("a rdf:Property ; rdfs:range rdfs:Literal", PropertyKind.DATATYPE, ("string",)),
        ("a rdf:Property ; rdfs:range owl:Thing", PropertyKind.OBJECT, ()),
        ("a owl:DatatypeProperty", PropertyKind.DATATYPE, ()),
        ('a owl:ObjectProperty ; rdfs:label "publication date"', PropertyKind.DATATYPE, ("date",)),
        ('a owl:DatatypeProperty ; rdfs:range [ owl:oneOf ( "a" "b" ) ]', PropertyKind.DATATYPE, ("string",)),
        ("a owl:DatatypeProperty ; rdfs:range [ owl:onDatatype xsd:int ]", PropertyKind.DATATYPE, ("int",)),
    ],
)
def test_a_property_is_what_its_range_says(statement: str, kind: PropertyKind, ranges: tuple[str, ...]) -> None:
    """Many ontologies declare every property an object property, whatever it leads to."""
    ontology = loaded(f"ex:Film a owl:Class . ex:p rdfs:domain ex:Film ; {statement} .")
    assert kind_and_ranges(ontology, "p") == (kind, tuple(XSD + name for name in ranges))
    assert [term.iri for term in ontology.classes] == [EX + "Film"]


def test_a_real_class_with_a_literal_sounding_name_stays_a_class() -> None:
    """`Date` in an ontology of calendars has properties of its own."""
    ontology = loaded("ex:on a owl:ObjectProperty ; rdfs:range ex:Date . ex:weekday rdfs:domain ex:Date .")
    assert kind_and_ranges(ontology, "on") == (PropertyKind.OBJECT, (EX + "Date",))


def test_bookkeeping_annotation_and_deprecated_terms_are_left_out() -> None:
    """Nobody extracts rdfs:seeAlso from a text."""
    ontology = loaded(
        "ex:A a owl:Class ; rdfs:subClassOf owl:Thing . ex:note a owl:AnnotationProperty ; rdfs:domain ex:A ."
        "ex:old a owl:ObjectProperty, owl:DeprecatedProperty ; rdfs:range ex:A ."
        "ex:Old a owl:Class ; owl:deprecated true ."
    )
    assert ([term.name for term in ontology.classes], ontology.properties) == (["A"], ())


def test_look_ups_leave_no_trace_in_the_value(films: Ontology) -> None:
    """Ontologies are compared, hashed and pickled; the cached look-ups are no part of them."""
    films.class_of("film")
    fresh = loaded(FILMS)
    copy = pickle.loads(pickle.dumps(films))
    assert fresh == films == copy
    assert hash(fresh) == hash(films)
    assert copy.class_of("film") == EX + "Film"


@pytest.mark.parametrize(
    ("data", "name", "line", "column", "words"),
    [
        (b"", "a.ttl", None, None, "is empty"),
        (b" \n ", "a.ttl", None, None, "is empty"),
        (b"<a:b> <a:c>\n  <a:d> ; ; <a:e .", "a.ttl", 2, None, "mend it"),
        (b"@prefix e: <a:> .\ne:\xff a e:b .", "a.ttl", 2, 3, "UTF-8"),
        ("<a:b> a <a:c> .".encode("utf-16"), "a.ttl", 1, 1, "UTF-16"),
        (b"<?xml version='1.0' encoding='latin-1'?><rdf/>", "a.rdf", 1, 1, "save it as UTF-8"),
        (b"<Ontology xmlns='http://www.w3.org/2002/07/owl#'/>", "a.owl", 1, 1, "OWL/XML"),
        (b'<a:b> <a:c> "d" .', "a.ttl", None, None, "no classes"),
        (b'{"@context": "https://schema.org", "@id": "a:b"}', "a.jsonld", 1, None, "context"),
        (b'{"@context": {},\n "@id" }', "a.jsonld", 2, None, "JSON-LD"),
        (
            b"<r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\n\n<r:Description r:ID='1'/></r:RDF>",
            "a.rdf",
            3,
            None,
            "rdf:ID",
        ),
        (b"PK\0\1", "a.ttl", 1, 3, "not a text file"),
        (b"<a b> a <http://www.w3.org/2002/07/owl#Class> .", "a.nt", 1, None, "IRI"),
    ],
)
def test_bad_files_are_refused_with_file_place_and_cure(
    data: bytes, name: str, line: int | None, column: int | None, words: str
) -> None:
    """The reader of the message has only the file in front of them."""
    error = refusal(data, name)
    assert repr(name) in error.message
    assert words in error.message
    assert error.line == line
    assert column is None or error.column == column


def test_a_cut_off_xml_file_is_refused() -> None:
    """The RDF parser alone would take the first half for the whole."""
    data = rewritten(FILMS, RdfFormat.RDF_XML)
    assert refusal(data[: len(data) // 2], "films.owl").line is not None


def test_entities_abbreviate_iris_but_may_not_explode() -> None:
    """OWL files are full of entities; a chain of them can fill any memory."""
    head = '<?xml version="1.0"?>\n<!DOCTYPE rdf:RDF [\n'
    body = (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:owl="http://www.w3.org/2002/07/owl#">'
        '<owl:Class rdf:about="&ex;Film"/></rdf:RDF>'
    )
    plain = f'{head}<!ENTITY ex "{EX}">]>{body}'
    assert load_ontology(plain.encode(), "films.owl").class_of("film") == EX + "Film"
    chain = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">\n' for n in range(1, 10))
    exploding = f'{head}<!ENTITY e0 "0123456789">\n{chain}<!ENTITY ex "&e9;">]>{body}'
    assert "entity" in refusal(exploding.encode(), "films.owl").message


def test_flaws_that_no_term_bears_are_forgiven() -> None:
    """A mistyped link to an author must not cost the user the ontology."""
    ontology = loaded('ex:A a owl:Class ; rdfs:seeAlso <http://a b> ; rdfs:label "a"@en-Transatlantic .')
    assert ontology.classes[0].labels == (Label("a", "en-transatlantic"),)


def test_a_file_over_the_limit_is_refused() -> None:
    """Before any work is put into it."""
    with pytest.raises(OntologyRefused, match="limit is 10"):
        load_ontology(b"x" * 11, "a.ttl", max_bytes=10)


def test_a_byte_order_mark_is_no_flaw(films: Ontology) -> None:
    """Some editors write one."""
    assert load_ontology(b"\xef\xbb\xbf" + (PREFIXES + FILMS).encode(), "films.ttl") == films
