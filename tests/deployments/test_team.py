"""What a team runs beyond one machine fits together, as far as that can be told without a container engine."""

import importlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import kubernetes_validate
import pytest
import yaml
from compose_pydantic import ComposeSpecification
from fastapi.testclient import TestClient
from prefect.cli.worker import worker_app
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.settings import Settings as PrefectSettings
from prefect.settings.legacy import _get_valid_setting_names  # pyright: ignore[reportPrivateUsage]
from prefect.utilities.importtools import load_module
from prefect_kubernetes.settings import KubernetesSettings
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration
from prefect_redis.client import RedisMessagingSettings
from typer.main import get_command
from typer.testing import CliRunner

from deployments.cli import app
from deployments.environment import server_environment
from deployments.home import StackHome
from deployments.installation import provision_installation
from deployments.parts import ENGINE_COMMAND, WORK_POOL
from deployments.processes import ProcessIdentity
from deployments.stack import RunningStack
from deployments.state import PartState, StackState, write_state
from deployments.window.app import create_app
from knowledge.errors import ConfigurationError
from knowledge.settings import Settings
from tables.session import create_database
from tests.test_docs import settings_of

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
TEAM = ROOT / "deployments" / "team"
KUBERNETES = TEAM / "kubernetes"
KUBERNETES_VERSION = "1.33"
# Prefect looks for these in the pod's template, where Kubernetes has no such fields and drops them.
_PREFECTS_OWN = ("completions", "parallelism")


def _compose(**values: str) -> Object:
    """compose.yaml as compose reads it: variables filled in, what is nobody's service left out."""

    def value_of(found: re.Match[str]) -> str:
        name, _, otherwise = found[1].partition(":")
        if otherwise.startswith("?"):
            return values[name]
        return values.get(name, otherwise.removeprefix("-"))

    text = re.sub(r"\$\{([^}]+)\}", value_of, (TEAM / "compose.yaml").read_text())
    return {name: part for name, part in yaml.safe_load(text).items() if not name.startswith("x-")}


@pytest.fixture
def compose() -> Object:
    """The file with the least that somebody must fill in."""
    return _compose(POSTGRES_PASSWORD="secret", PREFECT_AUTH_STRING="team:secret")


def _manifests() -> Iterator[tuple[str, Object]]:
    for path in sorted(KUBERNETES.glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            yield f"{path.name} {manifest['kind']} {manifest['metadata']['name']}", manifest


MANIFESTS = dict(_manifests())
"""By file and kind."""


def _pod(manifest: Object) -> Object | None:
    template = manifest.get("spec", {}).get("template")
    return None if template is None else template["spec"]


PODS = {name: pod for name, manifest in MANIFESTS.items() if (pod := _pod(manifest)) is not None}


def _containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def _job_template() -> Object:
    return json.loads((KUBERNETES / "job-template.json").read_text())


async def _job() -> Object:
    """The job that Prefect's worker makes of a run with nothing of its own."""
    # The template refers to no block of a server, so none is asked.
    nobody = cast(PrefectClient, object())
    configuration = await KubernetesWorkerJobConfiguration.from_template_and_values(_job_template(), {}, client=nobody)
    run = FlowRun(id=uuid4(), flow_id=uuid4(), name="curie")
    configuration.prepare_for_flow_run(run)
    return configuration.job_manifest


def test_compose_file_is_one(compose: Object) -> None:
    """Against the models made from Docker's own schema, which refuse what it does not have."""
    ComposeSpecification.model_validate(compose)
    compose["services"]["worker"]["retsart"] = "always"
    with pytest.raises(ValueError, match="retsart"):
        ComposeSpecification.model_validate(compose)


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_what_kubernetes_takes(name: str) -> None:
    """Strictly: a field that Kubernetes does not have is dropped there without a word."""
    kubernetes_validate.validate(MANIFESTS[name], KUBERNETES_VERSION, strict=True)


async def test_prefects_worker_makes_a_job_that_kubernetes_takes() -> None:
    """The template has what the worker requires, and what comes out starts the flow at once, with our variables."""
    job = await _job()
    pod = job["spec"]["template"]["spec"]
    for field in _PREFECTS_OWN:
        del pod[field]
    kubernetes_validate.validate(job, KUBERNETES_VERSION, strict=True)
    container = pod["containers"][0]
    assert container["args"] == ENGINE_COMMAND.split()
    assert [tuple(source) for source in container["envFrom"]] == [("configMapRef",), ("secretRef",)]
    assert any(variable["name"] == "PREFECT__FLOW_RUN_ID" for variable in container["env"])


def _known_variables() -> set[str]:
    prefect = (PrefectSettings, KubernetesSettings, RedisMessagingSettings)
    names = set[str]().union(*(_get_valid_setting_names(settings) for settings in prefect))
    return {*names, *settings_of(Settings), "PREFECT__SERVER_FINAL", "DO_NOT_TRACK"}


def _variables(compose: Object) -> Iterator[str]:
    ours = ("server", "provision", "worker", "window")
    for service in ours:
        yield from compose["services"][service]["environment"]
    for manifest in MANIFESTS.values():
        yield from manifest.get("data", ())
        yield from manifest.get("stringData", ())
    for pod in PODS.values():
        for container in _containers(pod):
            yield from (variable["name"] for variable in container.get("env", ()))


def test_every_variable_is_a_setting(compose: Object) -> None:
    """One that nobody reads looks as if it did something."""
    named = set(_variables(compose))
    assert len(named) > 25
    assert named <= _known_variables()


def _server_variables(compose: Object) -> Iterator[Mapping[str, str]]:
    yield compose["services"]["server"]["environment"]
    config = [found["data"] for found in MANIFESTS.values() if found["kind"] == "ConfigMap"]
    secrets = [found["stringData"] for found in MANIFESTS.values() if found["kind"] == "Secret"]
    yield {name: value for part in (*config, *secrets) for name, value in part.items()}


def test_prefect_reads_the_servers_settings_as_meant(compose: Object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tuned as on one machine; what must outlive the server's process is in Redis; nobody is let in unasked."""
    local = server_environment(
        {}, StackHome(Path("/one")), port=4200, prefect_database_url="postgresql+asyncpg://u@h/p"
    )
    tuning = {name: value for name, value in local.items() if "TASK_RUN_RECORDER" in name or "LOGGING" in name}
    assert len(tuning) == 4
    for variables in _server_variables(compose):
        assert tuning.items() <= variables.items()
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            server, redis = PrefectSettings().server, RedisMessagingSettings()
        modules = (
            (server.events.messaging_broker, "Publisher"),
            (server.events.messaging_cache, "Cache"),
            (server.events.causal_ordering, "CausalOrdering"),
            (server.concurrency.lease_storage, "ConcurrencyLeaseStorage"),
        )
        for module, name in modules:
            assert module.startswith("prefect_redis."), module
            assert hasattr(load_module(module), name)
        assert (redis.url or "").startswith("redis://")
        assert server.docket.url.startswith("redis://")
        assert redis.url != server.docket.url
        assert server.api.auth_string is not None
        assert server.api.auth_string.get_secret_value()


def _commands(compose: Object) -> Iterator[list[str]]:
    for service in compose["services"].values():
        yield service["command"]
        yield service.get("healthcheck", {}).get("test", ["CMD", "true"])[1:]
    for pod in PODS.values():
        for container in _containers(pod):
            yield container.get("command") or container["args"]
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                yield container.get(probe, {}).get("exec", {}).get("command", ["true"])
    dockerfile = (TEAM / "Dockerfile").read_text()
    yield json.loads(dockerfile.rpartition("CMD ")[2])


def test_every_command_exists(compose: Object) -> None:
    """Those of our console script and Prefect's with their options, and Python's modules."""
    commands = list(_commands(compose))
    ours = getattr(get_command(app), "commands")  # noqa: B009 -- click's group, which is untyped
    for program, *rest in commands:
        if program == "knowledge":
            options = {option for parameter in ours[rest[0]].params for option in parameter.opts}
            assert {given.partition("=")[0] for given in rest[1:]} <= options, rest
        elif program == "python" and rest[0] == "-m":
            assert importlib.util.find_spec(rest[1]) is not None, rest
        else:
            assert program in {"prefect", "postgres", "pg_isready", "redis-server", "redis-cli", "python", "true"}
    assert ["knowledge", "up"] in commands
    server = next(command for command in commands if "uvicorn" in command)
    module, _, factory = next(part for part in server if part.startswith("deployments.")).partition(":")
    assert callable(getattr(importlib.import_module(module), factory))


def test_prefects_worker_takes_the_pool_that_is_provisioned() -> None:
    """And the options are those of Prefect's command."""
    program, group, *rest = PODS["jobs.yaml Deployment job-worker"]["containers"][0]["command"]
    assert (program, group) == ("prefect", "worker")
    _, given, _ = worker_app.parse_args(rest, exit_on_error=False, print_error=False)
    assert given.arguments["work_pool_name"] == WORK_POOL
    assert given.arguments["worker_type"] == "kubernetes"


@pytest.mark.parametrize("name", PODS)
def test_pods_are_confined_and_find_what_they_name(name: str) -> None:
    """No root, no privileges, a memory limit; every volume, port, Secret and ConfigMap that is named is there."""
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"]
    held = {(found["kind"], found["metadata"]["name"]) for found in MANIFESTS.values()}
    volumes = {volume["name"] for volume in pod.get("volumes", ())}
    volumes |= {claim["metadata"]["name"] for claim in MANIFESTS[name]["spec"].get("volumeClaimTemplates", ())}
    for container in _containers(pod):
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes
        for source in container.get("envFrom", ()):
            kind, found = next(iter(source.items()))
            assert ({"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind], found["name"]) in held
        ports = {port["name"] for port in container.get("ports", ())}
        probes = [container.get(probe, {}) for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
        assert {probe["httpGet"]["port"] for probe in probes if "httpGet" in probe} <= ports


def test_services_are_what_others_call_them() -> None:
    """A host name in a variable is a Service's, with its port."""
    ports = {
        (found["metadata"]["name"], port["port"])
        for found in MANIFESTS.values()
        if found["kind"] == "Service"
        for port in found["spec"]["ports"]
    }
    text = (KUBERNETES / "configuration.yaml").read_text()
    called = {(name, int(port)) for name, port in re.findall(r"//(\w+)\.knowledge\.svc:(\d+)", text)}
    # The window is called from outside.
    assert called | {("window", 4300)} == ports == {("server", 4200), ("redis", 6379), ("window", 4300)}


def test_the_window_is_asked_at_addresses_that_it_has(compose: Object) -> None:
    """Alive without a database, ready with one only: else an outage of the database would end all windows."""
    # The document is the same whatever the database, which is not opened before it is asked.
    database = create_database("postgresql://nobody@127.0.0.1:9/none")
    client = TestClient(create_app(Settings(), database), raise_server_exceptions=False)
    (container,) = PODS["window.yaml Deployment window"]["containers"]
    alive = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")}
    ready = container["readinessProbe"]["httpGet"]["path"]
    asked = compose["services"]["window"]["healthcheck"]["test"][-1]
    assert {client.get(path).status_code for path in alive} == {200}
    assert client.get(ready).status_code == 503
    assert f"http://127.0.0.1:4300{ready}'" in asked


def test_the_window_listens_where_its_port_is_said_to_be(compose: Object) -> None:
    """On all addresses of its container, which is said in so many words, and published on this machine's own only."""
    service, (container,) = compose["services"]["window"], PODS["window.yaml Deployment window"]["containers"]
    assert service["command"] == container["command"]
    assert {"--expose", "--host=0.0.0.0", "--port=4300"} <= set(service["command"])
    assert service["ports"] == ["127.0.0.1:4300:4300"]
    assert [port["containerPort"] for port in container["ports"]] == [4300]


def test_compose_publishes_nothing_beyond_this_machine_and_runs_nothing_as_root(compose: Object) -> None:
    """Until somebody says otherwise. Every service comes back by itself; what it keeps is in a volume with a name."""
    services = compose["services"]
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert sorted(published) == ["127.0.0.1:4200:4200", "127.0.0.1:4300:4300", "127.0.0.1:5432:5432"]
    for name, service in services.items():
        assert service["user"] not in {"root", "0", "0:0"}, name
        assert service["restart"] == ("on-failure:5" if name == "provision" else "unless-stopped")
        assert "healthcheck" in service or name == "provision"
        assert service.get("depends_on", {}).keys() <= services.keys()
    assert {volume.partition(":")[0] for name in ("postgres", "redis") for volume in services[name]["volumes"]} == set(
        compose["volumes"]
    )


def test_commands_link_to_where_a_browser_finds_prefect(compose: Object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API's own address is one that only the other containers know."""
    configuration = MANIFESTS["configuration.yaml ConfigMap knowledge"]["data"]
    for variables in (compose["services"]["worker"]["environment"], configuration):
        stack = RunningStack(variables["PREFECT_API_URL"], database_url="", model_fingerprint="")
        monkeypatch.delenv("PREFECT_UI_URL", raising=False)
        assert stack.ui_url == variables["PREFECT_API_URL"].removesuffix("/api")
        monkeypatch.setenv("PREFECT_UI_URL", variables["PREFECT_UI_URL"])
        assert stack.ui_url == "http://127.0.0.1:4200"


def test_workers_share_no_home(compose: Object) -> None:
    """Scaled workers share named volumes, and the second of two in one home would find the stack running already."""
    homes = [volume for volume in compose["services"]["worker"]["volumes"] if "/var/lib/knowledge" in volume]
    assert homes == ["/var/lib/knowledge"]


def test_example_environment_has_what_compose_asks_for() -> None:
    """Nothing that must be found out, nothing that does nothing; passwords are for everybody to choose."""
    asked = set(re.findall(r"\$\{(\w+)", (TEAM / "compose.yaml").read_text()))
    example = (TEAM / ".env.example").read_text()
    given = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    assert given.keys() == asked
    further = set(re.findall(r"^# (\w+)=", example, re.MULTILINE))
    assert further
    assert further <= set(settings_of(Settings))
    assert not any(given[name] for name in ("POSTGRES_PASSWORD", "PREFECT_AUTH_STRING", "CHAT_API_KEY"))
    with pytest.raises(KeyError):
        _compose()


def test_a_check_is_passed_by_a_stack_with_all_its_parts(tmp_path: Path) -> None:
    """Containers' health checks ask it."""
    settings, home = Settings(home=tmp_path), StackHome(tmp_path)
    home.create()
    alive = ProcessIdentity.of(os.getpid())
    assert alive is not None
    gone = ProcessIdentity(alive.pid, alive.created_at - 3600)
    for worker, expected in ((alive, 0), (gone, 1)):
        parts = {"worker": PartState(worker, ""), "recovery": PartState(alive, "")}
        write_state(home.state_file, StackState(supervisor=alive, ready=True, parts=parts))
        done = CliRunner().invoke(app, ["status", "--check"], env={"KNOWLEDGE_HOME": str(settings.home)})
        assert (done.exit_code, done.stdout) == (expected, "")


def test_provisioning_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked or changed."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(ConfigurationError, match="PREFECT_API_URL and KNOWLEDGE_DATABASE_URL"):
        provision_installation(Settings())
