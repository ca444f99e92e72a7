"""What a stack consists of."""

import socket
from importlib.metadata import version
from pathlib import Path

import pytest

from deployments.home import StackHome
from deployments.parts import free_port, reserve_port
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
    plan = plan_stack(Settings(), home, {}, StackState())
    assert [part.name for part in plan.parts] == ["postgres", "server", "worker", "recovery"]
    assert [part.name for part in plan.parts if part.runs_flows] == ["worker"]


def test_what_others_provide_is_not_started() -> None:
    """A set DATABASE_URL or PREFECT_API_URL replaces a part."""
    home = StackHome(Path("/nowhere"))
    given = Settings.model_validate({"database_url": "postgresql://u@h/db"})
    plan = plan_stack(given, home, {"PREFECT_API_URL": OTHER}, StackState())
    assert [part.name for part in plan.parts] == ["worker", "recovery"]
    assert (plan.api_url, plan.is_local_server) == (OTHER, False)
    assert plan.urls.knowledge == "postgresql+psycopg://u@h/db"


def test_a_taken_port_gives_way_to_a_free_one() -> None:
    """Another Prefect server may have the usual port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        assert free_port(port) != port
    assert free_port(port) == port


def test_the_prefect_file_keeps_no_path_of_this_machine() -> None:
    """Wherever the package is installed, the worker imports the flow by its module's name."""
    file = read_prefect_file()
    assert file.pull == ()
    assert ("default", "flows.extraction.extraction") in {(each.name, each.entrypoint) for each in file.deployments}
    assert all("/" not in each.entrypoint and ":" not in each.entrypoint for each in file.deployments)


def test_deployments_carry_the_projects_version() -> None:
    """An operator sees in the UI what runs."""
    assert {entry.version for entry in read_prefect_file().deployments} == {version("durable-knowledge")}


def test_a_reserved_port_is_kept_for_our_server_while_it_is_dead() -> None:
    """Its clients would otherwise find another stack's server there, and work for it with the wrong database."""
    with reserve_port(free_port(0)) as reservation:
        port = int(reservation.getsockname()[1])
        for _ in range(2):
            with socket.create_server(("127.0.0.1", port)) as server:
                assert server.getsockname()[1] == port
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
