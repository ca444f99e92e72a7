"""The flow behind `answer/default`: a question in, an answer with opened citations out."""

from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from prefect.runtime import flow_run
from pydantic import Field

from knowledge.answers.asking import MAX_QUESTION_CHARACTERS, AnswerOptions, WhenUnavailable
from knowledge.answers.rendering import answer_json
from knowledge.ids import FlowRunId, OrganizationId
from knowledge.settings import Settings
from tasks.answer_runs import answer_question, show_answer

ORGANIZATION_PATTERN = f"^{OrganizationId.pattern.pattern}$"


@flow(name="answer", validate_parameters=True, persist_result=False)
async def answer(
    question: Annotated[str, Field(min_length=1, max_length=MAX_QUESTION_CHARACTERS)],
    organization: Annotated[str, Field(pattern=ORGANIZATION_PATTERN)] = "default",
    when_unavailable: Literal["extract", "fail"] = "extract",
) -> dict[str, Any]:
    """Answers a question from an organisation's knowledge graph; every sentence cites what backs it.

    The search index is brought up to date first. What is not in the graph is not answered.

    Args:
        question: A question in plain English.
        organization: Whose graph is asked: a slug such as `acme`.
        when_unavailable: Without the chat endpoint, answer in the documents' own words (extract), or fail.
    """
    options = AnswerOptions(WhenUnavailable(when_unavailable))
    flow_run_id = FlowRunId(str(flow_run.get_id()))
    answered = await answer_question(Settings(), OrganizationId(organization), question, options, flow_run_id)
    await show_answer(answered)
    get_run_logger().info("%s", answered.text)
    return answer_json(answered)
