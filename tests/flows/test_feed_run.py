"""What Prefect's server has of a run afterwards: its task runs, what automations made of them, and its feed."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.running_stack import StackUnderTest, eventually
from tests.sample import TEXT

pytestmark = pytest.mark.stack


@contextmanager
def _automated(api: httpx.Client, expect: str) -> Generator[str]:
    """The id of an automation that does nothing when the event is expected, while the block lasts."""
    trigger = {"type": "event", "posture": "Reactive", "expect": [expect], "threshold": 1, "within": 0}
    automation = {"name": f"test {uuid4().hex}", "trigger": trigger, "actions": [{"type": "do-nothing"}]}
    made = api.post("/automations/", json=automation).raise_for_status().json()["id"]
    try:
        yield made
    finally:
        api.delete(f"/automations/{made}").raise_for_status()


def _feed(api: httpx.Client, resource: str, **names: list[str]) -> list[dict[str, Any]]:
    """The feed's events with the resource in any role."""
    body = {"filter": {"any_resource": {"id": [resource]}, "event": names}, "limit": 50}
    return api.post("/events/filter", json=body).raise_for_status().json()["events"]


def test_task_runs_are_recorded_and_trigger_automations_without_being_in_the_feed(stack: StackUnderTest) -> None:
    """The run's page in Prefect's UI shows its task runs; the feed is for what somebody looks for."""
    with (
        httpx.Client(base_url=stack.running.api_url) as api,
        _automated(api, "prefect.task-run.Completed") as automation,
    ):
        ran = stack.run(stack.write("feed.txt", TEXT), organization="feed")
        assert ran.exit_code == 0, ran.stderr
        (flow_run,) = (each["flow_run_id"] for each in ran.executions)

        def completed() -> list[dict[str, Any]]:
            query = {"flow_runs": {"id": {"any_": [flow_run]}}}
            task_runs: list[dict[str, Any]] = api.post("/task_runs/filter", json=query).raise_for_status().json()
            return task_runs if all(each["state_type"] == "COMPLETED" for each in task_runs) else []

        task_runs = eventually(completed)
        states = api.get("/task_run_states/", params={"task_run_id": task_runs[0]["id"]}).raise_for_status().json()
        assert sorted(state["type"] for state in states) == ["COMPLETED", "PENDING", "RUNNING"]
        triggered = eventually(
            lambda: _feed(api, f"prefect.automation.{automation}", name=["prefect.automation.triggered"])
        )
        assert triggered[0]["payload"]["triggering_event"]["event"] == "prefect.task-run.Completed"
        in_feed = f"prefect.flow-run.{flow_run}"
        names = {event["event"] for event in eventually(lambda: _feed(api, in_feed, prefix=["prefect.flow-run."]))}
        assert "prefect.flow-run.Running" in names
        assert _feed(api, in_feed, prefix=["prefect.task-run."]) == []


def test_a_run_is_told_by_its_process_where_it_is_and_whose(stack: StackUnderTest) -> None:
    """Who cancels it finds the process; who looks for an organisation's runs finds it, however it was started."""
    with httpx.Client(base_url=stack.running.api_url) as api:
        deployment = api.get("/deployments/name/extraction/default").raise_for_status().json()["id"]
        document, ontology = stack.write("told.txt", TEXT), stack.ontology
        parameters = {"document": str(document), "ontology": str(ontology), "organization": "told"}
        path = f"/deployments/{deployment}/create_flow_run"
        created = api.post(path, json={"parameters": parameters, "tags": ["x"]}).raise_for_status().json()["id"]

        def over() -> dict[str, Any] | None:
            run = api.get(f"/flow_runs/{created}").raise_for_status().json()
            return run if run["state_type"] in {"COMPLETED", "FAILED", "CRASHED"} else None

        run = eventually(over)
        assert run["state_type"] == "COMPLETED"
        assert int(run["infrastructure_pid"]) > 0
        assert {"x", "told"} <= set(run["tags"])
        assert run["name"] == "told"
        assert run["run_count"] == 1
        assert run["flow_version"]
