"""What a stack consists of."""

from importlib.metadata import version
from pathlib import Path

from deployments.home import StackHome
from deployments.plan import external_api_url, plan_stack
from deployments.provision import read_prefect_file
from deployments.state import StackState
from knowledge.settings import Settings

OWN = "http://127.0.0.1:4200/api"
OTHER = "http://prefect.example:4200/api"


def test_another_server_is_used_and_our_own_exported_address_is_not_another() -> None:
    """`up` tells people to export the address, and they will run `up` again in the same shell."""
    assert external_api_url({"PREFECT_API_URL": OTHER}, StackState()) == OTHER
    assert external_api_url({"PREFECT_API_URL": OWN}, StackState(api_url=OWN)) is None
    assert external_api_url({"PREFECT_API_URL": OTHER}, StackState(api_url=OTHER, is_local_server=False)) == OTHER
    assert external_api_url({}, StackState()) is None
    assert external_api_url({"PREFECT_API_URL": ""}, StackState()) is None


def test_parts_start_in_the_order_of_their_needs(tmp_path: Path) -> None:
    """The server keeps its tables in PostgreSQL, and the worker works for the server."""
    home = StackHome(tmp_path / "h")
    home.create()
    plan = plan_stack(Settings(), home, {}, StackState(), 4200)
    assert [part.name for part in plan.parts] == ["postgres", "server", "worker", "recovery"]
    assert [part.name for part in plan.parts if part.runs_flows] == ["worker"]


def test_what_others_provide_is_not_started() -> None:
    """A set DATABASE_URL or PREFECT_API_URL replaces a part."""
    home = StackHome(Path("/nowhere"))
    given = Settings.model_validate({"database_url": "postgresql://u@h/db"})
    plan = plan_stack(given, home, {"PREFECT_API_URL": OTHER}, StackState(), 4200)
    assert [part.name for part in plan.parts] == ["worker", "recovery"]
    assert (plan.api_url, plan.is_local_server) == (OTHER, False)
    assert plan.urls.knowledge == "postgresql+psycopg://u@h/db"


def test_the_prefect_file_keeps_no_path_of_this_machine() -> None:
    """Wherever the package is installed, the worker imports the flow by its module's name."""
    file = read_prefect_file()
    assert file.pull == ()
    assert ("default", "flows.extraction.extraction") in {(each.name, each.entrypoint) for each in file.deployments}
    assert all("/" not in each.entrypoint and ":" not in each.entrypoint for each in file.deployments)


def test_deployments_carry_the_projects_version() -> None:
    """An operator sees in the UI what runs."""
    assert {entry.version for entry in read_prefect_file().deployments} == {version("durable-knowledge")}
