"""Literals: the XSD form of what a text says."""

import pytest

from knowledge.domain import Literal
from knowledge.literals import XSD, fits, normalise_literal


@pytest.mark.parametrize(
    ("surface", "datatype", "lexical", "found"),
    [
        ("7 November 1867", "date", "1867-11-07", "date"),
        ("November 18th, 1923", "date", "1923-11-18", "date"),
        ("Nov 18, 1923", "date", "1923-11-18", "date"),
        ("the 1st of August 1974", "date", "1974-08-01", "date"),
        ("on Friday, 3 May 2019", "date", "2019-05-03", "date"),
        ("2010-01-01T00:00:00Z", "date", "2010-01-01", "date"),
        ("29 February 2000", "date", "2000-02-29", "date"),
        ("7 November 1867", "gYear", "1867", "gYear"),
        ("7 November 1867", "gYearMonth", "1867-11", "gYearMonth"),
        ("3 May 2019", "dateTime", "2019-05-03T00:00:00", "dateTime"),
    ],
)
def test_a_date_takes_the_form_that_the_property_asks_for(
    surface: str, datatype: str, lexical: str, found: str
) -> None:
    """Whatever way a date is written, equal dates become equal literals."""
    assert normalise_literal(surface, (XSD + datatype,)) == Literal(lexical, XSD + found, surface)


@pytest.mark.parametrize(
    ("surface", "lexical", "found"), [("1994", "1994", "gYear"), ("July 1797", "1797-07", "gYearMonth")]
)
def test_a_date_said_less_precisely_keeps_its_precision(surface: str, lexical: str, found: str) -> None:
    """A year must not become a first of January that nobody said."""
    literal = normalise_literal(surface, (XSD + "date",))
    assert literal == Literal(lexical, XSD + found, surface)
    assert fits(literal, (XSD + "date",))


@pytest.mark.parametrize(
    ("surface", "datatype", "lexical"),
    [
        ("1.2 million", "integer", "1200000"),
        ("$26.2 billion", "decimal", "26200000000"),
        ("1,121 metres", "decimal", "1121"),
        ("546 m", "decimal", "546"),
        ("about 2,500", "nonNegativeInteger", "2500"),
        ("twenty-five", "integer", "25"),
        ("three hundred thousand", "integer", "300000"),
        ("1,234.50", "decimal", "1234.5"),
        ("-5", "integer", "-5"),
        ("73%", "decimal", "73"),
    ],
)
def test_a_number_is_read_through_scale_words_units_and_currencies(surface: str, datatype: str, lexical: str) -> None:
    """The value counts, not how it is written; the surface is kept beside it."""
    assert normalise_literal(surface, (XSD + datatype,)) == Literal(lexical, XSD + datatype, surface)


@pytest.mark.parametrize(
    ("surface", "datatype"),
    [
        ("the 1990s", "gYear"),
        ("hello", "integer"),
        ("10-15", "integer"),
        ("2.5", "integer"),
        ("-3", "nonNegativeInteger"),
        ("31 February 2001", "date"),
        ("29 February 1900", "date"),
        ("perhaps", "boolean"),
        ("not a link", "anyURI"),
    ],
)
def test_what_does_not_fit_the_range_becomes_a_string(surface: str, datatype: str) -> None:
    """A wrong typed value is worse than a plain one, and it must be seen not to fit."""
    literal = normalise_literal(surface, (XSD + datatype,))
    assert literal == Literal(surface, XSD + "string", surface)
    assert not fits(literal, (XSD + datatype,))


@pytest.mark.parametrize(
    ("surface", "lexical", "datatype"),
    [
        ("3 May 2019", "2019-05-03", "date"),
        ("42", "42", "integer"),
        ("4.5", "4.5", "decimal"),
        ("seven", "7", "integer"),
        ("VIAG", "VIAG", "string"),
        ("546 metres", "546 metres", "string"),
    ],
)
def test_without_a_range_the_datatype_is_guessed(surface: str, lexical: str, datatype: str) -> None:
    """An ontology need not say ranges; only what is nothing but a value is typed then."""
    assert normalise_literal(surface, ()) == Literal(lexical, XSD + datatype, surface)


def test_the_first_fitting_range_of_several_is_taken() -> None:
    """A union of ranges means any of them; the order says which is preferred."""
    ranges = (XSD + "date", XSD + "integer", XSD + "string")
    assert normalise_literal("twelve", ranges).datatype == XSD + "integer"
    assert normalise_literal("green", ranges).datatype == XSD + "string"


def test_white_space_in_the_value_is_collapsed_and_kept_in_the_surface() -> None:
    """Line breaks of the document must not make two values of one."""
    assert normalise_literal("New\n York", (XSD + "string",)) == Literal("New York", XSD + "string", "New\n York")


def test_booleans_and_links_are_read() -> None:
    """Yes and true are the same truth."""
    assert normalise_literal("Yes", (XSD + "boolean",)).lexical == "true"
    assert normalise_literal("https://a.example/b", (XSD + "anyURI",)).datatype == XSD + "anyURI"
