"""The definitions of runs: read once for many runs, and not for long."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import BlockDocument
from prefect.client.schemas.responses import DeploymentResponse, GlobalConcurrencyLimitResponse

from deployments import definitions
from deployments.definitions import REMEMBERED_SECONDS, remember_definitions, remember_services


class _Client:
    def __init__(self) -> None:
        self.reads = 0

    async def read_deployment(self, deployment_id: UUID) -> DeploymentResponse:
        self.reads += 1
        return DeploymentResponse(
            id=deployment_id, name=f"read {self.reads}", flow_id=uuid4(), job_variables={"env": {"A": "1"}}, labels={}
        )

    async def read_flow(self, flow_id: UUID) -> SimpleNamespace:
        self.reads += 1
        return SimpleNamespace(id=flow_id)


@pytest.fixture
def client() -> Any:
    made = _Client()
    remember_definitions(made)  # pyright: ignore[reportArgumentType]
    return made


async def test_definitions_are_read_once_for_runs_that_begin_together(client: Any) -> None:
    deployment, flow = uuid4(), uuid4()
    for _ in range(3):
        assert (await client.read_deployment(deployment)).name == "read 1"
        assert (await client.read_flow(flow)).id == flow
    assert client.reads == 2
    assert (await client.read_deployment(uuid4())).name == "read 3"


async def test_variables_of_one_run_do_not_become_those_of_the_next(client: Any) -> None:
    deployment = uuid4()
    (await client.read_deployment(deployment)).job_variables["env"]["A"] = "of one run"
    assert (await client.read_deployment(deployment)).job_variables == {"env": {"A": "1"}}


async def test_a_changed_definition_is_noticed_soon() -> None:
    now, reads = 0.0, 0

    async def read(id_: object) -> int:
        nonlocal reads
        reads += 1
        return reads

    remembered = definitions._remembered(read, lambda: now)  # pyright: ignore[reportPrivateUsage]
    assert [await remembered("a"), await remembered("a")] == [1, 1]
    now = REMEMBERED_SECONDS
    assert await remembered("a") == 2


class _Services:
    """A client of a server whose limit is raised each time somebody asks for it."""

    def __init__(self) -> None:
        self.reads = 0

    async def read_global_concurrency_limit_by_name(self, name: str) -> GlobalConcurrencyLimitResponse:
        self.reads += 1
        return GlobalConcurrencyLimitResponse(
            id=uuid4(), name=name, limit=self.reads, active_slots=0, slot_decay_per_second=0
        )

    async def read_block_document_by_name(self, name: str, block_type_slug: str) -> BlockDocument:
        self.reads += 1
        document = {"name": name, "data": {"of": block_type_slug}, "block_schema_id": uuid4(), "block_type_id": uuid4()}
        return BlockDocument.model_validate(document)


async def test_the_clients_of_a_process_know_what_one_of_them_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run of a process has a client of its own; a block that is taken apart is one run's."""
    monkeypatch.setattr(definitions, "_of_process", {})
    services, other = _Services(), _Services()
    clients: list[Any] = [services, other]
    for client in clients:
        remember_services(client)
        assert (await client.read_global_concurrency_limit_by_name("embedding")).limit == 1
        block = await client.read_block_document_by_name(name="results", block_type_slug="storage")
        assert block.data.pop("of") == "storage"
    assert (services.reads, other.reads) == (2, 0)
    assert (await services.read_global_concurrency_limit_by_name("another")).limit == 3


async def test_what_could_not_be_read_is_read_again() -> None:
    answers = iter([OSError("away"), "there"])

    async def read(id_: object) -> str:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    remembered = definitions._remembered(read)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(OSError, match="away"):
        await remembered("a")
    assert await remembered("a") == "there"
