"""Text that PostgreSQL can hold."""

from tables.storable import storable_json, storable_text


def test_good_text_stays_as_it_is() -> None:
    """Only what cannot be stored is touched."""
    text = "a\r\n\t\u2028é e\u0301 \U0001f600\ufeff"
    assert storable_text(text) == text


def test_nul_and_lone_surrogates_are_replaced() -> None:
    """An error message that quotes bad input must not become an error itself; a pair is a character, not two."""
    assert storable_text("\x00a\ud800b\udc00") == "\ufffda\ufffdb\ufffd"
    assert storable_text("\ud83d\ude00") == "\U0001f600"


def test_anything_becomes_json() -> None:
    """Parameters are recorded as they came, however odd: JSON has neither NaN nor sets."""
    given = {"\x00": [1, (True, None)], "nested": {1: float("inf")}, "set": {2}, "text": "\ud800"}
    expected = {"\ufffd": [1, [True, None]], "nested": {"1": "inf"}, "set": "{2}", "text": "\ufffd"}
    assert storable_json(given) == expected
