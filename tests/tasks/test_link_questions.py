"""Doubtful links are put to the chat model: near ones, within the organisation, within bounds, and each once."""

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from knowledge.domain import Document, Entity, EntityEmbedding, Extractor, KnowledgeGraph, Usage
from knowledge.doubtful_links import DoubtfulPair, Verdict, Verdicts
from knowledge.errors import ModelHeldBack, ModelUnavailable
from knowledge.ids import EntityId, ExecutionId, ExtractionId, OrganizationId
from knowledge.linking import LinkStatus
from tables.documents import OntologySource, store_document, store_ontology
from tables.extractions import ensure_extraction
from tables.graph_store import publish
from tables.ledger import Ledger
from tables.links import link_entities, load_links, set_link_status
from tables.session import Database
from tasks.activities import ActivityRecorder
from tasks.link_questions import PAIRS_OF_A_QUESTION, LinkQuestions
from tests.sample import sample_ontology

NEAR, FAR = (1.0, 0.0), (0.0, 1.0)


@dataclass
class ScriptedLinkModel:
    """Says what it is told to, and remembers what it was asked."""

    same: bool | None = True
    error: Exception | None = None
    asked: list[Sequence[DoubtfulPair]] = field(default_factory=list[Sequence[DoubtfulPair]])
    by: Extractor = Extractor("chat", "judge")

    async def decide(self, pairs: Sequence[DoubtfulPair]) -> Verdicts:
        self.asked.append(pairs)
        if self.error is not None:
            raise self.error
        return Verdicts((Verdict(self.same, "so it says", ("a", "b")),) * len(pairs), Usage(model_calls=1))


@dataclass
class Organization:
    """An organisation whose documents are published one after the other, and its execution's recorder."""

    database: Database
    id: OrganizationId
    ledger: Ledger
    execution_id: ExecutionId
    recorder: ActivityRecorder

    def publish(self, name: str, **vectors: tuple[float, float]) -> ExtractionId:
        """A document in whose graph there are things with these labels (`_` for a space) and vectors."""
        document = Document.of(self.id, name, f"{name}: {', '.join(vectors)}")
        store_document(self.database, document)
        ontology = OntologySource.of(self.id, "o", ".ttl", b"", "digest")
        store_ontology(self.database, ontology)
        extraction = ExtractionId.derive(document.id, "o")
        labels = {label.replace("_", " "): vector for label, vector in vectors.items()}
        entities = [Entity(EntityId.derive(extraction, label), label, ("urn:Thing",)) for label in labels]
        embeddings = [EntityEmbedding(e.id, "m", e.label, labels[e.label]) for e in entities]
        graph = KnowledgeGraph(
            extraction,
            document.id,
            ontology.id,
            tuple(sorted(entities, key=lambda e: e.id)),
            embeddings=tuple(sorted(embeddings, key=lambda e: e.entity_id)),
        )
        with self.database.org_session(self.id) as session:
            ensure_extraction(session, self.id, extraction, document.id, ontology.id)
        publish(self.database, self.id, graph, self.execution_id)
        link_entities(self.database, self.id, extraction, self.execution_id)
        return extraction

    async def ask(self, model: ScriptedLinkModel, extraction: ExtractionId, most: int = 2) -> int:
        async def held() -> None:
            pass

        questions = LinkQuestions(self.database, self.id, model, most, self.recorder, held)
        return await questions.decide(extraction, sample_ontology(), self.execution_id)

    def statuses(self) -> list[LinkStatus]:
        return [link.status for link in load_links(self.database, self.id)]


@pytest.fixture
async def owner(database: Database, organization_id: OrganizationId) -> AsyncIterator[Organization]:
    ledger = Ledger(database, organization_id)
    run = ledger.open_execution(None, document_name="d", parameters={}, pid=os.getpid(), host="here")
    async with ActivityRecorder(ledger, run.id) as recorder:
        yield Organization(database, organization_id, ledger, run.id, recorder)


async def test_near_vectors_only_propose_and_the_model_decides(owner: Organization) -> None:
    """Without a model nearness links nothing; far things are not asked about at all."""
    owner.publish("first", Big_Blue=NEAR, Oslo=FAR)
    second = owner.publish("second", I_B_M_Corporation=NEAR)
    assert owner.statuses() == []
    model = ScriptedLinkModel()
    assert await owner.ask(model, second) == 1
    ((pair,),) = model.asked
    assert {line for lines in (pair.one_lines, pair.other_lines) for line in lines if line.startswith("name")} == {
        "name: Big Blue",
        "name: I B M Corporation",
    }
    (link,) = load_links(owner.database, owner.id)
    assert link.status is LinkStatus.ACCEPTED
    assert link.reasons == ("their descriptions are near", "judge says that they are one: so it says (“a”; “b”)")


async def test_what_rules_propose_is_put_to_the_model_too(owner: Organization) -> None:
    """Its no takes the proposal back; reading the document again does not bring it up again."""
    owner.publish("first", WHO=NEAR)
    second = owner.publish("second", World_Health_Organization=FAR)
    assert owner.statuses() == [LinkStatus.PROPOSED]
    model = ScriptedLinkModel(same=False)
    await owner.ask(model, second)
    link_entities(owner.database, owner.id, second, owner.execution_id)
    assert owner.statuses() == [LinkStatus.DECLINED]
    await owner.ask(model, second)
    assert len(model.asked) == 1


async def test_what_was_answered_is_not_asked_again(owner: Organization) -> None:
    """Not even where the answer was no, or without use: whoever takes the run up finds it stored."""
    owner.publish("first", Big_Blue=NEAR)
    second = owner.publish("second", I_B_M_Corporation=NEAR)
    for same in (None, True):
        model = ScriptedLinkModel(same=same)
        await owner.ask(model, second)
        assert len(model.asked) == (1 if same is None else 0)
    assert owner.statuses() == []
    await owner.recorder.flush()
    assert owner.ledger.statistics(owner.execution_id).model_calls == 1


async def test_a_persons_word_holds_against_the_models(owner: Organization) -> None:
    """Undone is undone, whoever says otherwise."""
    owner.publish("first", Big_Blue=NEAR)
    second = owner.publish("second", I_B_M_Corporation=NEAR)
    await owner.ask(ScriptedLinkModel(), second)
    (link,) = load_links(owner.database, owner.id)
    set_link_status(owner.database, owner.id, link.id, LinkStatus.UNDONE)
    await owner.ask(ScriptedLinkModel(by=Extractor("chat", "another")), second)
    assert owner.statuses() == [LinkStatus.UNDONE]


async def test_questions_are_bounded_and_hold_several_pairs(owner: Organization) -> None:
    """A document full of doubtful names must not cost without end."""
    vectors = {f"Thing_{n}": (1.0, n / 1000) for n in range(20)}
    owner.publish("first", **vectors)
    second = owner.publish("second", **{f"Other_{name}": vector for name, vector in vectors.items()})
    model = ScriptedLinkModel()
    await owner.ask(model, second, most=2)
    assert [len(pairs) for pairs in model.asked] == [PAIRS_OF_A_QUESTION] * 2


async def test_organisations_are_not_compared(owner: Organization) -> None:
    """However near their things are."""
    ledger = Ledger(owner.database, OrganizationId(f"{owner.id}-x"))
    run = ledger.open_execution(None, document_name="d", parameters={}, pid=0, host="here")
    async with ActivityRecorder(ledger, run.id) as recorder:
        Organization(owner.database, OrganizationId(f"{owner.id}-x"), ledger, run.id, recorder).publish("x", A=NEAR)
    model = ScriptedLinkModel()
    await owner.ask(model, owner.publish("mine", B=NEAR))
    assert model.asked == []


async def test_an_endpoint_that_fails_leaves_links_open_and_one_that_is_down_sets_the_run_aside(
    owner: Organization,
) -> None:
    """The graph is published: no link is worth failing for. What is only late is waited for, as elsewhere."""
    owner.publish("first", Big_Blue=NEAR)
    second = owner.publish("second", I_B_M_Corporation=NEAR)
    assert await owner.ask(ScriptedLinkModel(error=ModelUnavailable("chat", "failed")), second) == 0
    down = ScriptedLinkModel(error=ModelHeldBack("chat", "is down", probe_in_seconds=1.0))
    with pytest.raises(ModelHeldBack):
        await owner.ask(down, second)
    assert await owner.ask(ScriptedLinkModel(), second) == 1
