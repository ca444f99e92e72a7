"""The embedded extraction model on English prose and an ontology of the tests' own."""

import asyncio
from dataclasses import dataclass

import pytest

from knowledge.findings import FoundEntities, FoundMentions, FoundRelations
from knowledge.models.embedded import EmbeddedExtractionModel
from knowledge.ontology import Ontology, load_ontology
from knowledge.stages.entities import find_entities
from knowledge.stages.relations import find_relations

_CLASSES = {
    "Person": "", "Scientist": "Person", "Organization": "", "Company": "Organization", "University": "Organization",
    "Place": "", "City": "Place", "Country": "Place", "River": "Place", "Prize": "", "Film": "Work", "Book": "Work",
    "Work": "", "Element": "",
}  # fmt: skip
_OBJECT_PROPERTIES = {
    "birthPlace": ("Person", "Place"), "studied at": ("Person", "University"), "spouse": ("Person", "Person"),
    "awardReceived": ("Person", "Prize"), "foundedBy": ("Organization", "Person"), "capital": ("Country", "City"),
    "headquarters location": ("Organization", "Place"), "located in": ("Place", "Place"), "author": ("Book", "Person"),
    "director": ("Film", "Person"), "stars": ("Film", "Person"), "acquired": ("Company", "Company"),
    "employer": ("Person", "Organization"), "nationality": ("Person", "Country"), "flows into": ("River", "Place"),
    "admires": ("Person", "Person"), "discovered": ("Person", "Element"),
}  # fmt: skip
_VALUE_PROPERTIES = {
    "birth date": ("Person", "date"), "date of death": ("Person", "date"), "founding year": ("Organization", "gYear"),
    "population": ("Place", "integer"), "number of employees": ("Organization", "integer"),
    "publicationDate": ("Work", "date"), "motto": ("University", "string"),
}  # fmt: skip


def _camel(label: str) -> str:
    first, *rest = label.split()
    return first + "".join(word.title() for word in rest)


def _turtle() -> str:
    lines = [
        "@prefix : <http://example.org/> . @prefix owl: <http://www.w3.org/2002/07/owl#> .",
        "@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> . @prefix xsd: <http://www.w3.org/2001/XMLSchema#> .",
    ]
    for name, parent in _CLASSES.items():
        above = f"; rdfs:subClassOf :{parent}" if parent else ""
        lines.append(f':{name} a owl:Class ; rdfs:label "{name}"@en {above} .')
    for kind, rows, prefix in (("Object", _OBJECT_PROPERTIES, ""), ("Datatype", _VALUE_PROPERTIES, "xsd")):
        for label, (domain, target) in rows.items():
            ends = f"rdfs:domain :{domain} ; rdfs:range {prefix}:{target}"
            lines.append(f':{_camel(label)} a owl:{kind}Property ; rdfs:label "{label}" ; {ends} .')
    return "\n".join(lines)


@dataclass(frozen=True)
class Read:
    """What the model found in a text, as names: facts are (subject, predicate, object or lexical form)."""

    text: str
    mentions: FoundMentions
    entities: FoundEntities
    relations: FoundRelations

    @property
    def facts(self) -> set[tuple[str, str, str]]:
        names = [entity.name for entity in self.entities.entities]
        found: set[tuple[str, str, str]] = set()
        for relation in self.relations.relations:
            value = relation.literal.lexical if relation.literal else names[relation.object or 0]
            found.add((names[relation.subject], relation.predicate.removeprefix("http://example.org/"), value))
        return found

    @property
    def classes(self) -> dict[str, set[str]]:
        return {e.name: {c.removeprefix("http://example.org/") for c in e.classes} for e in self.entities.entities}


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return load_ontology(_turtle().encode(), "test.ttl")


@pytest.fixture(scope="module")
def model() -> EmbeddedExtractionModel:
    return EmbeddedExtractionModel()


async def _read(model: EmbeddedExtractionModel, text: str, ontology: Ontology) -> Read:
    mentions = await model.read(text, ontology)
    entities = find_entities(text, mentions, ontology)
    return Read(text, mentions, entities, find_relations(text, mentions, entities.entities, ontology))


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("Marie Curie was born in Warsaw.", ("Marie Curie", "birthPlace", "Warsaw")),
        ("Born in Warsaw, Marie Curie moved away.", ("Marie Curie", "birthPlace", "Warsaw")),
        ("Microsoft was founded by Bill Gates and Paul Allen.", ("Microsoft", "foundedBy", "Paul Allen")),
        ("Bill Gates founded Microsoft.", ("Microsoft", "foundedBy", "Bill Gates")),
        ("Paris is the capital of France.", ("France", "capital", "Paris")),
        ("Berlin, the capital of Germany, has many parks.", ("Germany", "capital", "Berlin")),
        ("France's capital is Paris.", ("France", "capital", "Paris")),
        ('"Emma" is a novel by Jane Austen.', ("Emma", "author", "Jane Austen")),
        ("Jane Austen wrote the novel Emma.", ("Emma", "author", "Jane Austen")),
        ("Inception is a film directed by Christopher Nolan.", ("Inception", "director", "Christopher Nolan")),
        ("Sony, which is headquartered in Tokyo, sells cameras.", ("Sony", "headquartersLocation", "Tokyo")),
        ("In 2006 Google acquired YouTube.", ("Google", "acquired", "YouTube")),
        ("The Danube flows into the Black Sea.", ("Danube", "flowsInto", "Black Sea")),
        ("Fryderyk Chopin was a Polish composer.", ("Fryderyk Chopin", "nationality", "Poland")),
        ("Albert Einstein was awarded the Nobel Prize.", ("Albert Einstein", "awardReceived", "Nobel Prize")),
        ("Anna Smith admires Karl Marx.", ("Anna Smith", "admires", "Karl Marx")),
        ("Marie Curie was born on 7 November 1867.", ("Marie Curie", "birthDate", "1867-11-07")),
        ("Fryderyk Chopin (1810–1849) wrote music.", ("Fryderyk Chopin", "dateOfDeath", "1849")),
        ("Paris has a population of 2.1 million.", ("Paris", "population", "2100000")),
        ("Siemens employs 320,000 people.", ("Siemens", "numberOfEmployees", "320000")),
        ("Inception is a 2010 film.", ("Inception", "publicationDate", "2010")),
    ],
)
async def test_a_fact_is_found_however_the_sentence_puts_it(
    model: EmbeddedExtractionModel, ontology: Ontology, text: str, fact: tuple[str, str, str]
) -> None:
    """Voice, apposition, possession and parentheses are ways to say the same kind of thing."""
    assert fact in (await _read(model, text, ontology)).facts


@pytest.mark.parametrize(
    "text",
    [
        "Bill Gates did not found Google.",
        "Was Marie Curie born in Paris?",
        "If Google acquired Sony, prices would rise.",
        "Google may have acquired Sony.",
        "Google agreed to acquire Sony.",
        "Google never acquired Sony.",
        "Karl Weber is the former director of Inception.",
    ],
)
async def test_what_is_denied_asked_supposed_or_planned_is_no_fact(
    model: EmbeddedExtractionModel, ontology: Ontology, text: str
) -> None:
    """Precision first: nothing gets in that the text does not state."""
    assert (await _read(model, text, ontology)).facts == set()


async def test_ends_of_the_wrong_kind_make_no_fact(model: EmbeddedExtractionModel, ontology: Ontology) -> None:
    """Domains and ranges hold: a company is no birth place, a person no capital."""
    reading = await _read(model, "Sony was born in Tokyo. Barack Obama is the capital of Germany.", ontology)
    assert not {predicate for _, predicate, _ in reading.facts} & {"birthPlace", "capital"}


async def test_pronouns_and_definite_phrases_stand_for_what_was_named(
    model: EmbeddedExtractionModel, ontology: Ontology
) -> None:
    """Prose names a thing once and then speaks of it; the facts belong to the name."""
    text = (
        "Marie Curie was a physicist. She studied at the University of Paris.\n\n"
        "Microsoft Corporation is a company. It was founded by Bill Gates. The company employs 221,000 people."
    )
    reading = await _read(model, text, ontology)
    assert {
        ("Marie Curie", "studiedAt", "University of Paris"),
        ("Microsoft Corporation", "foundedBy", "Bill Gates"),
        ("Microsoft Corporation", "numberOfEmployees", "221000"),
    } <= reading.facts
    assert not {m.text.lower() for m in reading.mentions.mentions} & {"she", "it", "the company"}


async def test_a_definite_phrase_that_may_stand_for_several_gives_no_fact(
    model: EmbeddedExtractionModel, ontology: Ontology
) -> None:
    """Likelier wrong than right: a fact about the wrong company is worse than none."""
    text = (
        "Intel Corporation is a company. Microsoft Corporation is a company. The company employs 221,000 people. "
        "It was founded by Bill Gates."
    )
    reading = await _read(model, text, ontology)
    assert not [fact for fact in reading.facts if fact[1] == "numberOfEmployees"]


async def test_the_name_of_a_language_before_a_title_in_brackets_names_nothing(
    model: EmbeddedExtractionModel, ontology: Ontology
) -> None:
    """It would be taken for the subject of the sentence."""
    text = "Paradise Now (Arabic: al-Janna) is a film directed by Hany Abu-Assad."
    reading = await _read(model, text, ontology)
    assert "Arabic" not in {m.text for m in reading.mentions.mentions}
    assert {subject for subject, _, _ in reading.facts} == {"Paradise Now"}


async def test_things_without_a_proper_name_are_found_where_a_relation_speaks_of_them(
    model: EmbeddedExtractionModel, ontology: Ontology
) -> None:
    """Substances and discoveries are written in lower case; an indefinite phrase still names nothing."""
    text = "Marie Curie discovered radium in 1898. Ernest Rutherford discovered a method. Bohr likes cheese."
    reading = await _read(model, text, ontology)
    assert ("Marie Curie", "discovered", "radium") in reading.facts
    assert reading.classes["radium"] == {"Element"}
    assert not {"method", "a method", "cheese"} & set(reading.classes)


async def test_variants_of_a_name_are_one_entity_and_namesakes_are_two(
    model: EmbeddedExtractionModel, ontology: Ontology
) -> None:
    """Surnames, suffixes and acronyms stand for the full name; a shared surname alone does not unite people."""
    text = (
        "Marie Curie met Pierre Curie in Paris. Siemens AG is a company, and Siemens builds trains. "
        "The World Health Organization (WHO) is in Geneva. WHO was founded in 1948."
    )
    reading = await _read(model, text, ontology)
    named = {e.name: {reading.mentions.mentions[i].text for i in e.mentions} for e in reading.entities.entities}
    assert named["Siemens AG"] == {"Siemens AG", "Siemens"}
    assert named["World Health Organization"] == {"World Health Organization", "WHO"}
    assert {"Marie Curie", "Pierre Curie"} <= set(named)


async def test_classes_come_from_the_text_before_the_recogniser(
    model: EmbeddedExtractionModel, ontology: Ontology
) -> None:
    """The most telling class wins: what the text calls a thing, a noun within its name, then its coarse kind."""
    text = (
        "Marie Curie, a Polish physicist, lived in France. Oxford is a city in England. "
        "The University of Oxford is old. John Smith visited Oxford."
    )
    classes = (await _read(model, text, ontology)).classes
    assert classes["Marie Curie"] == {"Scientist"}
    assert classes["Oxford"] == {"City"}
    assert classes["University of Oxford"] == {"University"}
    assert classes["England"] == {"Country"}
    assert classes["John Smith"] == {"Person"}


async def test_spans_are_exact_in_texts_with_odd_white_space(
    model: EmbeddedExtractionModel, ontology: Ontology
) -> None:
    """Offsets count code points of the text as it is; evidence is the whole sentence that states the fact."""
    text = "  \r\n𝄞 Marie\r\nCurie was born in Warsaw.\r\n\r\n\tShe died in Passy in 1934.  "
    reading = await _read(model, text, ontology)
    assert [m.text for m in reading.mentions.mentions] == [
        text[m.span.start : m.span.end] for m in reading.mentions.mentions
    ]
    evidence = {text[s.start : s.end] for r in reading.relations.relations for s in r.evidence}
    assert "She died in Passy in 1934." in evidence
    assert {e.name for e in reading.entities.entities} >= {"Marie Curie", "Warsaw"}


async def test_answers_are_the_same_each_time_and_in_order(model: EmbeddedExtractionModel, ontology: Ontology) -> None:
    """Stored answers are reused by content, so a second model object must answer alike, also under concurrency."""
    texts = ["Paris is the capital of France. Bill Gates founded Microsoft in 1975."] * 4
    readings = await asyncio.gather(*(_read(EmbeddedExtractionModel(), text, ontology) for text in texts))
    assert all(reading == readings[0] for reading in readings)
    first = readings[0]
    assert list(first.mentions.mentions) == sorted(first.mentions.mentions, key=lambda m: m.span)
    firsts = [entity.mentions[0] for entity in first.entities.entities]
    assert firsts == sorted(firsts)


async def test_the_facts_are_well_formed(model: EmbeddedExtractionModel, ontology: Ontology) -> None:
    """Indexes lie within the answer, confidences between 0 and 1, predicates within the ontology."""
    reading = await _read(model, "Bill Gates founded Microsoft in 1975. He studied at Harvard University.", ontology)
    assert reading.relations.relations
    for relation in reading.relations.relations:
        ends = [i for i in (relation.subject, relation.object) if i is not None]
        assert all(0 <= i < len(reading.entities.entities) for i in ends)
        assert 0 < relation.claim <= 1
        assert ontology.get_property(relation.predicate) is not None
        assert relation.evidence
    indexes = [i for e in reading.entities.entities for i in e.mentions]
    assert len(indexes) == len(set(indexes))


@pytest.mark.parametrize("text", ["", "  \n ", "!?", "12345", "lorem ipsum", "\u200b"])
async def test_text_without_names_gives_empty_answers(
    model: EmbeddedExtractionModel, ontology: Ontology, text: str
) -> None:
    """Nothing to find is an answer, not an error."""
    assert (await _read(model, text, ontology)).facts == set()


async def test_usage_counts_the_passages_that_had_something_to_read(
    model: EmbeddedExtractionModel, ontology: Ontology
) -> None:
    """The statistics tell what was asked, also of a model that costs nothing."""
    assert (await model.read("Paris is the capital of France.", ontology)).usage.model_calls == 1
    assert (await model.read(" \n", ontology)).usage.model_calls == 0


def test_the_extractor_names_model_rules_and_lexicon(model: EmbeddedExtractionModel) -> None:
    """Whoever reads a fact can tell which rules made it, and changed rules ask again."""
    assert model.extractor.name == "embedded"
    assert model.extractor.model.startswith("en_core_web_sm 3.8.0 + rules ")
    assert model.extractor.settings.startswith("lexicon ")
