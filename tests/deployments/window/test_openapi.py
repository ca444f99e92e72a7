"""The window keeps to its OpenAPI document, whatever it is sent."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.config import SchemathesisConfig

from knowledge.domain import ExecutionStatistics, ExecutionStatus
from tests.deployments.window.conftest import Visitor

_EXAMPLES = 10
_MODES = list(schemathesis.GenerationMode)
_PATIENT = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("mode", _MODES)
def test_answers_are_as_the_document_says(visitor: Visitor, mode: schemathesis.GenerationMode) -> None:
    """Clients are made from the document; each request here is made up from it, valid or not."""
    running, finished = visitor.begin(), visitor.begin()
    visitor.advance(finished, 1, 2)
    visitor.ledger.close_execution(finished, ExecutionStatus.COMPLETED, None, ExecutionStatistics())
    auth = {"auth": {"openapi": {"token": {"bearer": visitor.token}}}}
    config = SchemathesisConfig.from_dict(auth)  # pyright: ignore[reportUnknownMemberType]
    schema: Any = schemathesis.openapi.from_url(f"{visitor.url}/openapi.json", config=config)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == 5
    for operation in operations:
        if mode.is_negative and operation.path == "/health":
            # It takes nothing that could be wrong.
            continue

        @_PATIENT
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: Any) -> None:
            if mode.is_positive and case.path_parameters:
                # A stream of a running one would not end.
                case.path_parameters["execution_id"] = running if case.method == "POST" else finished
            case.call_and_validate()

        holds()
