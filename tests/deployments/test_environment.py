"""The environments of the stack's processes, and that this Prefect understands them."""

import json
from pathlib import Path

import pytest
from prefect.settings import Settings as PrefectSettings

from deployments.environment import is_plain_loopback, local_api_url, server_environment, worker_environment
from deployments.home import StackHome
from deployments.parts import DatabaseRule, worker_part
from knowledge.settings import DocumentSettings, Settings

HOME = StackHome(Path("/stacks/one"))
LOCAL = local_api_url(4200)
REMOTE = "https://prefect.example/api"


def _server(**base: str) -> dict[str, str]:
    return server_environment(base, HOME, port=4200, prefect_database_url="postgresql+asyncpg://u@h/prefect")


def _worker(*, api_url: str = LOCAL, settings: Settings | None = None, **base: str) -> dict[str, str]:
    local = api_url == LOCAL
    return worker_environment(base, HOME, settings or Settings(), api_url=api_url, is_local_server=local)


def _as_prefect_reads(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> PrefectSettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return PrefectSettings()


def test_prefect_reads_the_servers_settings_as_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that a new Prefect renames would otherwise be ignored without a word."""
    settings = _as_prefect_reads(_server(), monkeypatch)
    recorder = settings.server.services.task_run_recorder
    assert (recorder.batch_size, recorder.read_batch_size, recorder.flush_interval) == (100, 100, 2)
    assert settings.server.concurrency.lease_storage == "prefect.server.concurrency.lease_storage.filesystem"
    assert settings.server.database.connection_url is not None
    assert settings.server.database.connection_url.get_secret_value() == "postgresql+asyncpg://u@h/prefect"
    assert settings.server.analytics_enabled is False
    assert settings.server.ui.show_promotional_content is False
    assert settings.server.ui.static_directory == "/stacks/one/prefect/ui"
    assert settings.home == Path("/stacks/one/prefect")
    assert (settings.server.api.host, settings.server.api.port) == ("127.0.0.1", 4200)


def test_prefect_reads_the_workers_settings_as_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the server."""
    settings = _as_prefect_reads(_worker(), monkeypatch)
    assert settings.api.url == LOCAL
    assert settings.worker.query_seconds == 1
    assert settings.api.ssl_cert_file == "/stacks/one/prefect/certificate.pem"


def test_clients_load_a_single_certificate_only_where_none_is_needed() -> None:
    """Over https, or to another machine, the certificates decide whom to trust."""
    assert "PREFECT_API_SSL_CERT_FILE" in _worker()
    assert "PREFECT_API_SSL_CERT_FILE" not in _worker(api_url=REMOTE)
    assert not is_plain_loopback("https://127.0.0.1:4200/api")
    assert not is_plain_loopback("http://10.0.0.1:4200/api")


def test_an_operators_tuning_wins_and_the_addresses_do_not_give_way() -> None:
    """Tuning is advice; an address from elsewhere would split the stack."""
    recorder = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE"
    assert _server(**{recorder: "7"})[recorder] == "7"
    assert _worker(PREFECT_WORKER_QUERY_SECONDS="9")["PREFECT_WORKER_QUERY_SECONDS"] == "9"
    assert _worker(PREFECT_API_URL=REMOTE)["PREFECT_API_URL"] == LOCAL


def test_a_local_stack_ignores_profiles_and_keys_of_other_servers() -> None:
    """A key for Prefect Cloud is none of the local server's business."""
    foreign = {"PREFECT_API_KEY": "k", "PREFECT_PROFILE": "cloud", "PREFECT_HOME": "/home/u/.prefect"}
    local = worker_environment(foreign, HOME, Settings(), api_url=LOCAL, is_local_server=True)
    remote = worker_environment(foreign, HOME, Settings(), api_url=REMOTE, is_local_server=False)
    assert not {"PREFECT_API_KEY", "PREFECT_PROFILE"} & local.keys()
    assert local["PREFECT_HOME"] == "/stacks/one/prefect"
    assert {name: remote[name] for name in foreign} == foreign


def test_flow_processes_are_told_what_here_means() -> None:
    """They work in temporary directories; documents are allowed from where the stack was started."""
    roots = "KNOWLEDGE_DOCUMENTS__ALLOWED_ROOTS"
    assert json.loads(_worker()[roots]) == [str(Path.cwd())]
    given = Settings(documents=DocumentSettings(allowed_roots=("/data", "https://example.org/")))
    assert json.loads(_worker(settings=given)[roots]) == ["/data", "https://example.org/"]
    assert _worker()["KNOWLEDGE_HOME"] == "/stacks/one"


@pytest.mark.parametrize(
    ("given", "is_local", "rule"),
    [
        (None, True, DatabaseRule.EMBEDDED),
        (None, False, DatabaseRule.NONE),
        ("postgresql://u@h/db", True, DatabaseRule.ANY),
        ("postgresql://u@h/db", False, DatabaseRule.ANY),
    ],
)
def test_who_may_change_the_database_block(given: str | None, is_local: bool, rule: DatabaseRule) -> None:
    """An operator changes the database in the UI, in one place: a restart must not undo that."""
    settings = Settings.model_validate({"database_url": given})
    part = worker_part({}, HOME, settings, api_url=LOCAL, is_local_server=is_local, database_url="postgresql://x")
    assert part.environment["KNOWLEDGE_STACK_DATABASE_RULE"] == rule


def test_a_part_is_out_of_date_when_a_setting_changed_and_not_when_the_shell_did() -> None:
    """An adopted part must be the one that the plan asks for."""

    def digest(**base: str) -> str:
        part = worker_part(base, HOME, Settings(), api_url=LOCAL, is_local_server=True, database_url="postgresql://x")
        return part.digest

    assert digest(SHLVL="1") == digest(SHLVL="2")
    assert digest() != digest(KNOWLEDGE_CHAT__MODEL="m")


def test_runs_link_to_the_reports_of_a_local_server_only_unless_told_otherwise() -> None:
    """Another server does not serve ours; an operator may say who does."""
    assert _worker()["KNOWLEDGE_REPORTS_URL"] == "http://127.0.0.1:4200/reports"
    assert "KNOWLEDGE_REPORTS_URL" not in _worker(api_url=REMOTE)
    elsewhere = "https://reports.example"
    assert _worker(KNOWLEDGE_REPORTS_URL=elsewhere)["KNOWLEDGE_REPORTS_URL"] == elsewhere
    # The server finds the database that reports are made from in the stack's state.
    assert _server()["KNOWLEDGE_HOME"] == "/stacks/one"
