"""What of the past may go: the rules alone."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from knowledge.retention import Fate, FinishedExecution, RetentionPolicy, Uses
from knowledge.settings import RetentionSettings, Settings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
POLICY = RetentionPolicy(executions=timedelta(days=90), least_executions=2, most_executions=5)


def ended(days_ago: float, rank: int = 3) -> FinishedExecution:
    """An execution that ended so long ago."""
    return FinishedExecution(NOW - timedelta(days=days_ago), rank)


@pytest.mark.parametrize(
    ("days_ago", "rank", "fate"),
    [
        (89.9, 3, Fate.KEEP),
        (90.1, 3, Fate.REMOVE),
        (5000, 2, Fate.KEEP),
        (0, 5, Fate.KEEP),
        (0, 6, Fate.REMOVE),
    ],
)
def test_age_and_count_decide(days_ago: float, rank: int, fate: Fate) -> None:
    """The newest few stay whatever their age; beyond the most, even young ones go."""
    assert POLICY.fate(ended(days_ago, rank), Uses(), NOW) is fate


@pytest.mark.parametrize("uses", [Uses(has_graph=True), Uses(is_named=True), Uses(True, True)])
def test_what_a_graph_rests_on_loses_its_details_only(uses: Uses) -> None:
    """A published graph's provenance must not dangle, however old it is."""
    assert POLICY.fate(ended(5000), uses, NOW) is Fate.SHORTEN
    assert POLICY.fate(ended(0), uses, NOW) is Fate.KEEP


def test_without_a_period_nothing_ages() -> None:
    """Nothing goes that nobody asked to have removed."""
    assert RetentionPolicy(least_executions=1).fate(ended(100_000), Uses(), NOW) is Fate.KEEP


def test_the_defaults_keep_a_quarter_and_paid_answers_for_a_year() -> None:
    """Answers have been paid for; runs are history."""
    policy = RetentionPolicy.of(RetentionSettings())
    assert policy.executions == policy.history == timedelta(days=90)
    assert policy.answers == timedelta(days=365)
    assert policy.deleted == timedelta(days=30)
    assert (policy.least_executions, policy.most_executions) == (100, None)


@pytest.mark.parametrize("never", ["0", "none", " None "])
def test_none_and_zero_mean_never(monkeypatch: pytest.MonkeyPatch, never: str) -> None:
    """Two ways that operators say it, in each variable that may."""
    for name in ("EXECUTIONS_DAYS", "ANSWERS_DAYS", "HISTORY_DAYS", "DELETED_DAYS", "MOST_EXECUTIONS"):
        monkeypatch.setenv(f"KNOWLEDGE_RETENTION__{name}", never)
    policy = RetentionPolicy.of(Settings().retention)
    assert policy == RetentionPolicy(least_executions=100)


def test_the_newest_execution_always_stays() -> None:
    """Whoever prunes finds organisations by their executions: one without any would be forgotten."""
    with pytest.raises(ValidationError):
        RetentionSettings(least_executions=0)
