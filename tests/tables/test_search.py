"""The search index: current, of one model, and of one organisation, however large its neighbours are."""

import math
import random
from collections.abc import Sequence

import pytest
from sqlalchemy import text

from knowledge.errors import KnowledgeError
from knowledge.ids import OrganizationId
from knowledge.ports import EmbeddedTexts
from knowledge.search.embedding import EmbeddingService, IndexMissing, IndexRefused
from knowledge.search.findings import Findings
from knowledge.search.indexing import Indexer
from knowledge.search.kinds import EntryKind
from knowledge.search.retrieval import RetrievalOptions, Retriever
from tables.search_index import SearchIndexStore
from tables.search_view import OrganizationSearch, SearchTransaction
from tables.session import Database
from tests.graphs import FILMS, WordVectors, index, publish_facts

OTHER = OrganizationId("other-films")


async def _find(database: Database, organization_id: OrganizationId, question: str, **options: int) -> Findings:
    retriever = Retriever(OrganizationSearch(database, organization_id), EmbeddingService(WordVectors()))
    return await retriever.find(question, RetrievalOptions(**options))


async def test_the_fact_asked_for_comes_first_with_its_evidence(
    database: Database, organization_id: OrganizationId
) -> None:
    """Names, words, vectors and the neighbourhood find it together; offsets are the document's."""
    published = publish_facts(database, organization_id)
    await index(database, organization_id)
    found = await _find(database, organization_id, "Who is the director of Night Ferry?")
    first = found.facts[0]
    assert first.fact.object_text == "Ada Brandt"
    assert (first.fact.subject.label, first.fact.predicate_label, first.fit) == ("Night Ferry", "director", 1.0)
    said = first.fact.evidence[0]
    assert published.document.text[said.span.start : said.span.end] == said.text
    assert {"names", "evidence words", "evidence vectors"} <= set(first.ranks)
    assert found.named == ("Night Ferry",)
    assert found.entities[0].entity.label == "Night Ferry"


async def test_a_passage_without_the_name_is_found_by_it(database: Database, organization_id: OrganizationId) -> None:
    """ "She was born on 4 May 1901" is about somebody: the index knows whom."""
    publish_facts(database, organization_id)
    await index(database, organization_id)
    found = await _find(database, organization_id, "When was Ada Brandt born?")
    assert found.facts[0].fact.object_text == "4 May 1901"
    assert any(passage.text.startswith("Ada Brandt: She was born") for passage in found.passages)


async def test_facts_are_reached_over_hops_also_into_other_documents(
    database: Database, organization_id: OrganizationId
) -> None:
    """The director's place of birth is two facts away, and another document may have the second."""
    publish_facts(database, organization_id, FILMS[:2], "films")
    person = [(s, k, p, o, t) for s, k, p, o, t in FILMS if s == "Ada Brandt"]
    named = [("Ada Brandt", "Person", "partOf", "Nordlys Film", "Ada Brandt is part of Nordlys Film."), *person]
    publish_facts(database, organization_id, [(*FILMS[0][:3], "Ada Brandt", FILMS[0][4]), *named], "people")
    await index(database, organization_id)
    found = await _find(database, organization_id, "What is the place of birth of the director of Night Ferry?")
    assert (found.facts[0].fact.object_text, found.facts[0].hops) == ("Oslo", 2)
    assert len(found.facts[0].via) == 1
    near = await _find(database, organization_id, "What is the place of birth of the director of Night Ferry?", hops=1)
    assert all(fact.hops <= 1 for fact in near.facts)


async def test_indexing_again_asks_for_nothing_and_an_edited_document_for_what_is_new(
    database: Database, organization_id: OrganizationId
) -> None:
    """Vectors are kept by content; what is superseded is no longer found."""
    publish_facts(database, organization_id)
    model = WordVectors()
    first = await index(database, organization_id, model)
    assert (first.segments, first.reused) == (1, 0)
    asked = len(model.asked)
    assert len(set(model.asked)) == asked
    assert (await index(database, organization_id, model)).segments == 0
    assert len(model.asked) == asked
    publish_facts(
        database, organization_id, [*FILMS, ("Red Bridge", "Film", "director", "Eva Lund", "By Lund.")], "more"
    )
    second = await index(database, organization_id, model)
    assert second.segments == 1
    assert {text for text in model.asked[asked:] if "Brandt" in text} == set()


async def test_a_republished_document_replaces_its_segment(database: Database, organization_id: OrganizationId) -> None:
    """A graph that lost a fact when it was read again must not be found with it."""
    publish_facts(database, organization_id)
    await index(database, organization_id)
    with database.org_session(organization_id) as session:
        session.execute(text("DELETE FROM knowledge.relation WHERE predicate LIKE '%producer'"))
    publish_facts(database, organization_id)
    report = await index(database, organization_id)
    assert (report.segments, report.usage.embedding_calls) == (1, 0)


async def test_an_interrupted_indexing_goes_on_where_it_was(
    database: Database, organization_id: OrganizationId
) -> None:
    """What was answered before the outage is in the index, and is not paid for again."""

    class Failing(WordVectors):
        fails = True

        async def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
            if self.fails and len(self.asked) >= 4:
                raise KnowledgeError("down")
            return await super().embed(texts)

    publish_facts(database, organization_id)
    model = Failing()
    indexer = Indexer(SearchIndexStore(database, organization_id), EmbeddingService(model, batch_texts=2))
    with pytest.raises(KnowledgeError, match="down"):
        await indexer.index()
    model.fails = False
    report = await indexer.index()
    assert report.reused >= 4
    assert len(model.asked) == len(set(model.asked))
    assert (await _find(database, organization_id, "Who directed Night Ferry?")).facts[0].fit == 1.0


async def test_another_model_is_refused_until_everything_is_embedded_anew(
    database: Database, organization_id: OrganizationId
) -> None:
    """Vectors of two models cannot be compared; the message names the run that mends it, and that run does."""
    publish_facts(database, organization_id)
    await index(database, organization_id)
    other = WordVectors("words 2", 384)
    with pytest.raises(IndexRefused, match=f"knowledge index --organization {organization_id} --reembed"):
        await index(database, organization_id, other)
    retriever = Retriever(OrganizationSearch(database, organization_id), EmbeddingService(other))
    with pytest.raises(IndexRefused, match="words 1"):
        await retriever.find("Night Ferry")
    report = await index(database, organization_id, other, reembed=True)
    assert (report.segments, report.removed) == (1, 1)
    assert (await retriever.find("Who directed Night Ferry?")).facts[0].fit == 1.0
    with pytest.raises(IndexRefused):
        await _find(database, organization_id, "Night Ferry")


async def test_one_name_for_vectors_of_two_dimensions_is_refused(
    database: Database, organization_id: OrganizationId
) -> None:
    """An endpoint may change its model behind an unchanged name."""
    publish_facts(database, organization_id)
    await index(database, organization_id)
    publish_facts(database, organization_id, FILMS[:1], "later")
    with pytest.raises((IndexRefused, KnowledgeError), match="dimensions"):
        await index(database, organization_id, WordVectors("words 1", 384))


async def test_nothing_of_another_organisation_is_found(database: Database, organization_id: OrganizationId) -> None:
    """Not its names, its words or its vectors, and asking by its ids gives nothing."""
    published = publish_facts(database, OTHER)
    await index(database, OTHER)
    with pytest.raises(IndexMissing, match="knowledge run"):
        await _find(database, organization_id, "Who directed Night Ferry?")
    publish_facts(database, organization_id, [("Red Bridge", "Film", "director", "Ida Moe", "Moe directed it.")], "red")
    await index(database, organization_id)
    found = await _find(database, organization_id, "Who directed Night Ferry?", limit=100)
    assert {fact.fact.document_name for fact in found.facts} == {"red"}
    assert {passage.document_name for passage in found.passages} == {"red"}
    with OrganizationSearch(database, organization_id).view() as view:
        ids = [relation.id for relation in published.graph.relations]
        evidence = [said.id for relation in published.graph.relations for said in relation.evidence]
        assert not view.facts(ids, {})
        assert not view.links(ids)
        assert not view.quotations(evidence)
        assert not view.entities([entity.id for entity in published.graph.entities])


class _Scattered(WordVectors):
    """Random directions, by which nothing is near anything."""

    async def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        rng = random.Random(len(self.asked))
        self.asked += texts
        rows = [[rng.gauss(0, 1) for _ in range(self.dimensions)] for _ in texts]
        return EmbeddedTexts(tuple(tuple(x / math.hypot(*row) for x in row) for row in rows))


async def test_a_small_organisation_beside_a_large_one_loses_nothing(
    database: Database, organization_id: OrganizationId
) -> None:
    """They share one HNSW index: filtered afterwards it would give the small one hardly anything."""
    crowd = OrganizationId(f"crowd-{organization_id[4:20]}")
    many = [(f"Film {n}", "Film", "director", f"Person {n}", f"Film {n} is by Person {n}.") for n in range(150)]
    publish_facts(database, crowd, many, "many")
    publish_facts(database, organization_id)
    model = _Scattered("scattered", 256)
    await index(database, crowd, model)
    await index(database, organization_id, model)
    (vector,) = await EmbeddingService(model).embed_question("anything")
    with OrganizationSearch(database, organization_id).view() as view:
        exact = view.nearest(EntryKind.ENTITY, vector, "scattered", 5, exact=True)
        shared = view.nearest(EntryKind.ENTITY, vector, "scattered", 5, exact=False)
    assert [hit.text for hit in shared] == [hit.text for hit in exact]
    assert len(exact) == 5


async def test_words_that_are_everywhere_only_tell_apart_what_rare_ones_bring_up(
    database: Database, organization_id: OrganizationId
) -> None:
    """In a large graph reading every passage with "director" would take longer than all the rest."""
    said = "The director of {} is Person {}."
    many = [(f"Film {n}", "Film", "director", f"Person {n}", said.format(f"Film {n}", n)) for n in range(20)]
    rare = ("Zephyr", "Film", "director", "Ada Brandt", "The director of Zephyr is Ada Brandt.")
    beside = ("Zephyr", "Film", "partOf", "Nordlys Film", "Zephyr is part of Nordlys Film.")
    publish_facts(database, organization_id, [*many, beside, rare], "films")
    await index(database, organization_id)
    with database.org_session(organization_id) as session:
        view = SearchTransaction(session, organization_id, max_postings=5)
        found = view.worded("Who is the director of Zephyr?", WordVectors().model, 10)
    assert [hit.text for hit in found] == [rare[4], beside[4]]


async def test_the_hnsw_index_serves_approximate_searches(database: Database, organization_id: OrganizationId) -> None:
    """An expression that differs in a cast from the index's would silently read every row."""
    publish_facts(database, organization_id)
    await index(database, organization_id)
    query = text(
        "EXPLAIN SELECT id FROM knowledge.search_entry WHERE organization_id = :organization_id AND model = 'words 1' "
        "AND kind = 'passage' AND dimensions = 256 "
        "ORDER BY (vector::halfvec(256)) <=> CAST(:vector AS halfvec(256)) LIMIT 4"
    )
    vector = str([0.0625] * 256)
    with database.org_session(organization_id) as session:
        session.execute(text("SET LOCAL enable_sort = off"))
        plan = "\n".join(session.scalars(query, {"organization_id": organization_id, "vector": vector}))
    assert "hnsw_search_entry_passage_256" in plan
