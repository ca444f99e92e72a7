"""What `knowledge signal` takes as a payload."""

import pytest

from deployments.signalling import payload_of
from knowledge.errors import SignalRefused


def test_a_payload_is_a_json_object_or_nothing() -> None:
    """A reason is optional; its text is the sender's own."""
    assert payload_of("") == {}
    assert payload_of('{"reason": "größer"}') == {"reason": "größer"}


@pytest.mark.parametrize(("text", "problem"), [("{because}", "is not JSON"), ("[1]", "must be a JSON object")])
def test_anything_else_is_refused_with_an_example(text: str, problem: str) -> None:
    """Before anything is recorded."""
    with pytest.raises(SignalRefused, match=problem) as refused:
        payload_of(text)
    assert '{"reason": "…"}' in refused.value.message
