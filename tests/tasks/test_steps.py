"""The steps that a recorder hands out: of each stage the latest, never less than was said."""

from datetime import UTC, datetime

from knowledge.domain import ExecutionStatistics, ExtractionProgress, Stage, Usage
from knowledge.ids import ExecutionId
from tasks.steps import Steps

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _steps() -> Steps:
    return Steps(ExecutionId.new(), lambda: NOON)


def _mentions(completed: int) -> ExtractionProgress:
    return ExtractionProgress(Stage.MENTIONS, completed, 10)


def test_of_several_steps_of_a_stage_the_last_is_written() -> None:
    """Ten answers in a tenth of a second are one event, in the order in which stages moved last."""
    steps = _steps()
    for progress in (_mentions(1), ExtractionProgress(Stage.ENTITIES, 1, 10), _mentions(2)):
        steps.take(progress)
    assert [step.progress for step in steps.hand_out()] == [ExtractionProgress(Stage.ENTITIES, 1, 10), _mentions(2)]
    assert steps.hand_out() == ()


def test_a_resumed_run_that_replays_its_answers_says_nothing_until_it_is_further() -> None:
    """Its process begins from nothing; who watches does not see it go back, nor stand still in many words."""
    steps = _steps()
    steps.go_on_from([_mentions(4)], ExecutionStatistics(model_calls=4))
    for completed in range(1, 6):
        steps.count(Usage(model_calls=1), is_cached=completed < 5, is_first=completed == 5)
        steps.take(_mentions(completed))
    (step,) = steps.hand_out()
    assert (step.progress, step.model_calls, step.cached_calls) == (_mentions(5), 5, 0)


def test_answers_that_another_run_has_paid_for_count_as_stored() -> None:
    """Who watches sees what the run costs while it goes on."""
    steps = _steps()
    steps.count(Usage(model_calls=1), is_cached=True, is_first=True)
    steps.take(_mentions(1))
    (step,) = steps.hand_out()
    assert (step.model_calls, step.cached_calls) == (0, 1)


def test_the_whole_is_done_only_when_the_execution_says_so() -> None:
    """The stages' shares leave a hundredth for the end, whatever is tuned about them."""
    steps = _steps()
    fractions: list[float] = []
    for stage in Stage:
        steps.take(ExtractionProgress(stage, 1, 1))
        fractions.append(steps.hand_out()[0].fraction)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 0.99


def test_what_may_not_be_written_is_handed_out_again_unless_the_stage_has_moved_on() -> None:
    """A commit that breaks off leaves it open; the journal knows the steps by their ids."""
    steps = _steps()
    steps.take(_mentions(1))
    steps.take(ExtractionProgress(Stage.ENTITIES, 1, 10))
    handed = steps.hand_out()
    steps.take(_mentions(2))
    steps.take_back(handed)
    again = steps.hand_out()
    assert [(step.progress.stage, step.progress.completed, step.is_uncertain) for step in again] == [
        (Stage.ENTITIES, 1, True),
        (Stage.MENTIONS, 2, False),
    ]
    assert again[0].id == handed[1].id
