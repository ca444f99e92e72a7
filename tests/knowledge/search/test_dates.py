"""Dates in questions are what facts must be of, not words of a predicate."""

import pytest

from knowledge.search.dates import dates_in, is_dated
from knowledge.search.names import NameSpan


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who was born on 4 May 1901?", ["4 May 1901"]),
        ("Who was born on May 4, 1901?", ["May 4, 1901"]),
        ("What was founded in May 1901 or 1874?", ["May 1901", "1874"]),
        ("Who died on 1901-05-04?", ["1901-05-04"]),
        ("Who has 1500 ships and 30000 men?", ["1500"]),
        ("May Ada Brandt marry?", []),
    ],
)
def test_days_months_and_years_are_found(question: str, expected: list[str]) -> None:
    """As people write them in English, and as computers do."""
    assert [date.key for date in dates_in(question, ())] == expected


def test_a_year_in_a_name_is_the_name_s() -> None:
    """ "1984" may be a novel."""
    question = "Who wrote 1984?"
    assert dates_in(question, [NameSpan(10, 14, "1984", 1)]) == ()


@pytest.mark.parametrize(
    ("date", "expected"), [("1901", True), ("May 1901", True), ("5 May 1901", False), ("19", False)]
)
def test_a_day_is_of_its_month_and_year(date: str, expected: bool) -> None:
    """Whole words only."""
    assert is_dated(["1901-05-04", "4 May 1901"], date) is expected
