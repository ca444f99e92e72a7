"""What Prefect shows of a run: told in few lines, drawn seldom, and never in the run's way."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import httpx
import pytest

from knowledge.domain import ExecutionStatistics, ExecutionStatus, ExtractionProgress, Stage, WorkflowExecutionState
from knowledge.ids import ExecutionId, FlowRunId, OrganizationId
from tasks.artifacts import RunArtifacts
from tasks.run_view import RunView
from tests.sample import sample_document, sample_ontology

_ORGANIZATION = OrganizationId("acme")
_FLOW_RUN = FlowRunId("0" * 8 + "-0000-0000-0000-" + "0" * 12)
_EXECUTION = ExecutionId.new()


def _state(resumes: int = 0) -> WorkflowExecutionState:
    return WorkflowExecutionState(
        id=_EXECUTION,
        organization_id=_ORGANIZATION,
        flow_run_id=_FLOW_RUN,
        document_id=None,
        ontology_id=None,
        extraction_id=None,
        document_name="doc",
        status=ExecutionStatus.RUNNING,
        stage=None,
        error=None,
        resumes=resumes,
        statistics=ExecutionStatistics(),
        pid=1,
        host="h",
        holder="me",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        ended_at=None,
    )


@dataclass
class Wall:
    """Artifacts that are only remembered; an API that is away as long as `up` is false."""

    up: bool = True
    looked: int = 0
    written: list[tuple[str, object]] = field(default_factory=list[tuple[str, object]])

    def of(self, flow_run_id: FlowRunId, execution_id: ExecutionId) -> RunArtifacts:
        wall = self

        class Written(RunArtifacts):
            async def find_earlier(self) -> None:
                wall.looked += 1

            def has(self, name: str) -> bool:
                return name in wall.names

            async def put_progress(self, name: str, fraction: float, description: str) -> None:
                wall.note(name, (fraction, description))

            async def put_markdown(self, name: str, markdown: str, description: str) -> None:
                wall.note(name, markdown)

        return Written(flow_run_id, execution_id)

    @property
    def names(self) -> list[str]:
        """What was written, in its order."""
        return [name for name, _ in self.written]

    @property
    def bars(self) -> list[object]:
        """The bar's fractions and descriptions."""
        return [content for name, content in self.written if name == "progress"]

    def note(self, name: str, content: object) -> None:
        if not self.up:
            raise httpx.ConnectError("away")
        self.written.append((name, content))


@dataclass
class Pauses:
    """Sleep that lasts until it is told to be over; how long each was meant to last."""

    now: float = 0.0
    asked: list[float] = field(default_factory=list[float])
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.over.wait()
        self.over.clear()

    async def let_pass(self, seconds: float) -> None:
        """Time passes, and whoever slept has acted and sleeps again."""
        self.now += seconds
        asked = len(self.asked)
        self.over.set()
        while len(self.asked) == asked:
            await asyncio.sleep(0)

    async def begun(self) -> None:
        """Somebody sleeps."""
        while not self.asked:
            await asyncio.sleep(0)


@dataclass
class Shown:
    """A view with all that it writes and tells."""

    wall: Wall = field(default_factory=Wall)
    pauses: Pauses = field(default_factory=Pauses)
    told: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.view = RunView(
            _FLOW_RUN,
            self.told.append,
            name="brandt",
            reports_url="http://127.0.0.1/reports",
            artifacts_of=self.wall.of,
            monotonic=lambda: self.pauses.now,
            sleep=self.pauses.sleep,
        )

    def open(self, *, resumes: int = 0):
        return self.view.open(
            _state(resumes), sample_document(_ORGANIZATION), sample_ontology(), is_continued=bool(resumes)
        )


@pytest.fixture(autouse=True)
def tagged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run has its name and its organisation's tag already: nothing asks Prefect's API."""
    monkeypatch.setattr("tasks.run_view.flow_run.get_name", lambda: "brandt", raising=False)
    monkeypatch.setattr("tasks.run_view.flow_run.get_tags", lambda: ["acme"], raising=False)


async def test_a_thousand_items_are_a_few_writes() -> None:
    """What is shown costs by the second, not by the item."""
    shown = Shown()
    async with shown.open():
        await shown.pauses.begun()
        for done in range(1, 501):
            shown.view.observe(ExtractionProgress(Stage.MENTIONS, done, 1000))
        await shown.pauses.let_pass(1)
        for done in range(501, 1001):
            shown.view.observe(ExtractionProgress(Stage.MENTIONS, done, 1000))
    assert shown.wall.bars == [(0.3, "Chunks: mentions 500 of 1000"), (1.0, "Chunks: mentions 1000 of 1000")]


async def test_the_bar_says_how_far_each_stage_is() -> None:
    """One bar for the run: it goes on with every stage."""
    shown = Shown()
    async with shown.open():
        await shown.pauses.begun()
        shown.view.observe(ExtractionProgress(Stage.MENTIONS, 4, 4))
        shown.view.observe(ExtractionProgress(Stage.ENTITIES, 2, 4))
        await shown.pauses.let_pass(1)
        assert shown.wall.bars == [(0.62, "Chunks: mentions 4 of 4, entities 2 of 4")]
        shown.view.observe(ExtractionProgress(Stage.PUBLISH, 1, 1))
        await shown.pauses.let_pass(1)
        assert shown.wall.bars[1:] == [(0.65, "Chunks: mentions 4 of 4, entities 2 of 4")]


async def test_what_has_not_changed_is_not_written_again_and_long_runs_are_drawn_less_often() -> None:
    """A run of an hour is not drawn 3,600 times."""
    shown = Shown()
    async with shown.open():
        await shown.pauses.begun()
        shown.view.observe(ExtractionProgress(Stage.MENTIONS, 1, 9))
        for _ in range(3):
            await shown.pauses.let_pass(60)
        assert shown.pauses.asked == [5.0, 5.0, 6.0, 9.0]
        await shown.pauses.let_pass(3600)
        assert shown.pauses.asked[-1] == 10.0
        assert len(shown.wall.bars) == 1


async def test_the_report_is_linked_while_the_run_goes_on_and_the_summary_takes_its_place() -> None:
    """Who looks at a run that takes long finds its report."""
    shown = Shown()
    async with shown.open():
        await shown.pauses.begun()
        await shown.pauses.let_pass(5)
        await shown.pauses.let_pass(5)
    await shown.view.show_summary(["# brandt", "all of it"])
    assert shown.wall.names == ["summary", "summary"]
    page, summary = (str(content) for _, content in shown.wall.written)
    assert f"[The report](http://127.0.0.1/reports/acme/{_EXECUTION})" in page
    assert summary == "# brandt\nall of it"


async def test_a_run_that_is_over_at_once_has_its_summary_and_no_bar() -> None:
    """Nobody could have seen the bar, and the summary says more than a full one."""
    shown = Shown()
    async with shown.open():
        await shown.pauses.begun()
        for done in range(1, 5):
            shown.view.observe(ExtractionProgress(Stage.MENTIONS, done, 4))
    await shown.view.show_summary(["all of it"])
    assert shown.wall.names == ["summary"]


async def test_a_run_that_fails_at_once_leads_to_its_report() -> None:
    """That is where somebody looks why."""
    shown = Shown()

    async def fail() -> None:
        async with shown.open():
            shown.view.observe(ExtractionProgress(Stage.MENTIONS, 1, 4))
            raise ValueError("no use")

    with pytest.raises(ValueError, match="no use"):
        await fail()
    assert shown.wall.names == ["summary", "progress"]
    assert "[The report]" in str(shown.wall.written[0][1])
    assert shown.wall.bars == [(0.15, "Chunks: mentions 1 of 4")]


async def test_a_run_goes_on_while_nothing_can_be_shown_and_is_shown_later() -> None:
    """Prefect's server may be away for a while."""
    shown = Shown(Wall(up=False))
    async with shown.open():
        await shown.pauses.begun()
        shown.view.observe(ExtractionProgress(Stage.MENTIONS, 1, 2))
        await shown.pauses.let_pass(1)
        assert shown.wall.written == []
        shown.wall.up = True
        await shown.pauses.let_pass(1)
        assert shown.wall.names == ["summary", "progress"]


@dataclass
class Registered:
    """What Prefect has of the run, and what it was told to change."""

    name: str
    tags: list[str]
    changes: list[dict[str, object]] = field(default_factory=list[dict[str, object]])

    async def __aenter__(self) -> "Registered":
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def update_flow_run(self, flow_run_id: UUID, **changes: object) -> None:
        self.changes.append(changes)


@pytest.mark.parametrize(
    ("name", "tags", "changes"),
    [
        ("brandt", ["acme"], []),
        ("brandt", ["x"], [{"name": "brandt", "tags": ["acme", "x"]}]),
        ("lively-owl", ["acme"], [{"name": "brandt", "tags": ["acme"]}]),
    ],
)
async def test_a_run_is_named_and_tagged_in_one_request_if_it_is_not_yet(
    monkeypatch: pytest.MonkeyPatch, name: str, tags: list[str], changes: list[dict[str, object]]
) -> None:
    """Runs are found by their organisation however they were started; our own are submitted with all of it."""
    registered = Registered(name, tags)
    monkeypatch.setattr("tasks.run_view.flow_run.get_name", lambda: name, raising=False)
    monkeypatch.setattr("tasks.run_view.flow_run.get_tags", lambda: tags, raising=False)
    monkeypatch.setattr("tasks.run_view.get_client", lambda: registered)
    shown = Shown()
    async with shown.open():
        await shown.pauses.begun()
    assert registered.changes == changes


async def test_a_run_taken_up_again_looks_for_what_was_shown_before() -> None:
    """One artifact for each key, not one for each process."""
    shown = Shown()
    async with shown.open(resumes=2):
        await shown.pauses.begun()
    assert shown.wall.looked == 1
    assert shown.told[0] == "goes on: its process has died 2 times; what was answered is kept"


async def test_the_story_has_a_line_for_each_stage_whatever_the_number_of_items() -> None:
    """Ten lines are read, a thousand are not."""
    shown = Shown()
    async with shown.open():
        for stage in Stage:
            for done in range(1, 101):
                shown.view.observe(ExtractionProgress(stage, done, 100))
            shown.view.observe(ExtractionProgress(stage, 100, 100))
    assert shown.told[0].startswith("reads brandt, 141 characters, with Sample (4 classes, 3 predicates), as exe_")
    assert shown.told[1:] == [
        "mentions of 100 chunks: done, 0.0 s after the first",
        "entities of 100 chunks: done, 0.0 s after the first",
        "relations of 100 chunks: done, 0.0 s after the first",
        "embeddings of 100 chunks: done, 0.0 s after the first",
        "the graph is published",
    ]
