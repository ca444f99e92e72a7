"""The summary that Prefect shows: what came out, what it cost, and what is worth a look."""

from dataclasses import replace
from uuid import UUID

from knowledge.domain import ExecutionStatistics, Stage
from knowledge.findings import Rejection
from knowledge.ids import ExecutionId, FlowRunId, OntologyId
from knowledge.pipeline import ExtractionResult, ItemFailure
from knowledge.stages.relations import UNKNOWN_PREDICATE
from tasks.execution import Extracted
from tasks.inputs import StoredOntology
from tasks.run_view import RunView
from tasks.summary import summary_lines
from tests.reports import export_of

_EXPORT = export_of(name="a|b")


def _extracted(**changes: object) -> Extracted:
    statistics = ExecutionStatistics(model_calls=1, cached_calls=3, input_tokens=1200, output_tokens=34)
    result = ExtractionResult(_EXPORT.graph, (), statistics)
    ontology = StoredOntology(OntologyId.derive("o"), _EXPORT.ontology)
    extracted = Extracted(ExecutionId("exe_" + "1" * 32), _EXPORT.document, ontology, result, statistics)
    return replace(extracted, **changes)  # pyright: ignore[reportArgumentType]


def _view(reports_url: str | None) -> RunView:
    return RunView(FlowRunId(str(UUID(int=0))), lambda _: None, reports_url=reports_url)


def test_it_says_what_was_asked_and_what_was_stored_and_how_to_see_the_graph() -> None:
    """Cost first; a name cannot break the table."""
    page = "\n".join(summary_lines(_extracted(), _view("http://here/reports/")))
    assert "| Model calls | 1 asked, 3 answered from stored results (75%) |" in page
    assert "| Tokens | 1,200 in, 34 out |" in page
    assert "| Document | a\\|b, " in page
    assert f"[The report](http://here/reports/acme/exe_{'1' * 32}), or as a file:" in page
    assert f"knowledge report exe_{'1' * 32} --organization acme" in page


def test_the_entities_with_the_most_relations_are_a_table() -> None:
    """What the document is about, at a glance."""
    page = list(summary_lines(_extracted(), _view(None)))
    start = page.index("## The 3 entities with the most relations")
    assert page[start + 2 : start + 5] == [
        "| Entity | Classes | Relations | Mentions |",
        "|---|---|---:|---:|",
        "| Ada Brandt |  | 3 | 1 |",
    ]


def test_what_is_doubtful_is_worth_a_look() -> None:
    """Flagged, unmapped and left out, failed, and taken up again."""
    result = _extracted().result
    rejections = (Rejection(UNKNOWN_PREDICATE, "x"), Rejection("is odd", "y"), Rejection("is odd", "z"))
    failures = (ItemFailure(Stage.MENTIONS, 4, "no *answer*"),)
    doubtful = replace(result, rejections=rejections, failures=failures)
    page = list(summary_lines(_extracted(result=doubtful, resumes=1), _view(None)))
    assert "- 1 fact outside the predicate's domain or range, and flagged" in page
    assert "- 1 entity of no class of the ontology" in page
    assert "- 1 fact left out because the ontology does not have the predicate" in page
    assert "- 2 × left out of what models said: is odd" in page
    assert "- 1 resume, because its process died; what was answered was kept" in page
    assert "- mentions of chunk 5: no \\*answer\\*" in page
    assert not [line for line in page if "The report" in line]
