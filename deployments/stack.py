"""The local stack's doors: run it here, start it in the background, stop it, see what runs."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from deployments.database_urls import external_urls
from deployments.home import StackHome
from deployments.plan import external_api_url, plan_stack, server_port
from deployments.postgres import STOP_SIGNALS, embedded_process
from deployments.processes import ProcessIdentity, end_all, stack_processes
from deployments.state import StackState, model_fingerprint, read_state, write_state
from deployments.supervisor import Supervisor
from knowledge.errors import ConfigurationError
from knowledge.settings import Settings

_START_SECONDS = 240.0
_STOP_SECONDS = 60.0
# The supervisor may be another command's process: what there is of it is its state file.
_POLL_SECONDS = 0.1
_PART_GRACE_SECONDS = 10.0
_ANSWER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RunningStack:
    """What others need of a running stack."""

    api_url: str
    database_url: str
    model_fingerprint: str
    started_here: bool = False

    @property
    def ui_url(self) -> str:
        """Prefect's UI, as a browser finds it."""
        # Prefect's own setting, for where the API's address is one that only its neighbours know.
        return os.environ.get("PREFECT_UI_URL") or self.api_url.removesuffix("/api")


def run_stack(settings: Settings, report: Callable[[str], None], on_ready: Callable[[RunningStack], None]) -> None:
    """Run the stack until a signal ends it; returns at once, after `on_ready`, when it runs already.

    Raises:
        KnowledgeError: a part does not start.
    """
    home = StackHome.of(settings)
    with home.supervising() as is_first:
        if not is_first:
            on_ready(_wait_until_running(home, report))
            return
        previous = read_state(home.state_file)
        refuse_silent_api(external_api_url(os.environ, previous))
        with server_port(settings, os.environ, previous) as port:
            plan = plan_stack(settings, home, os.environ, previous, port)
            Supervisor(plan, report).run(lambda state: on_ready(_running(state, started_here=True)))


def running_stack(settings: Settings) -> RunningStack | None:
    """The stack that runs, if one does."""
    state = read_state(StackHome.of(settings).state_file)
    return _running(state) if state.is_running else None


def is_whole(settings: Settings) -> bool:
    """Whether the stack runs, and with it each part that it started."""
    state = read_state(StackHome.of(settings).state_file)
    return state.is_running and all(state.process(part) is not None for part in state.parts)


def start_in_background(settings: Settings, report: Callable[[str], None]) -> RunningStack:
    """The running stack; started as a process of its own, which outlives us, when none runs. One that does not run
    yet when somebody interrupts us is stopped.

    Raises:
        ConfigurationError: it does not start; the message carries the end of its log.
    """
    home = StackHome.of(settings)
    home.create()
    running = running_stack(settings)
    if running is not None:
        return running
    with home.open_log("supervisor") as log:
        log.write(b"\n")
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "deployments.cli", "up"],
            env={**os.environ, "KNOWLEDGE_HOME": str(home.root)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        return _wait_until_running(home, report, supervisor)
    except KeyboardInterrupt:
        report("interrupted before the stack ran: nothing was submitted, and what was started of it is stopped")
        if (started := ProcessIdentity.of(supervisor.pid)) is not None:
            started.stop((signal.SIGTERM,), _STOP_SECONDS)
        raise


def require_models_of(stack: RunningStack, settings: Settings) -> None:
    """Nothing, if the stack asks the models that `settings` name.

    Raises:
        ConfigurationError: it asks other ones.
    """
    if stack.model_fingerprint != model_fingerprint(settings):
        raise ConfigurationError(
            "the stack was started with other model settings (KNOWLEDGE_CHAT__…, KNOWLEDGE_EMBEDDING__…, "
            "KNOWLEDGE_CALIBRATION) than this command carries: stop it with `knowledge down` and try again, or leave "
            "the settings away"
        )


def require_database_of(stack: RunningStack, settings: Settings) -> None:
    """Nothing, if the stack's database is the one that `settings` name, or they name none.

    Raises:
        ConfigurationError: it is another one, which must not be read, or erased from, in its stead.
    """
    given = settings.database_url
    if given is not None and external_urls(given.get_secret_value()).knowledge != stack.database_url:
        raise ConfigurationError(
            "the stack that runs has another database than KNOWLEDGE_DATABASE_URL names: stop it with `knowledge down` "
            "and try again, leave the variable away, or give a KNOWLEDGE_HOME where no stack runs"
        )


def stop_stack(settings: Settings) -> bool:
    """Stop everything of the stack, in order, whatever is left of it; whether anything ran."""
    home = StackHome.of(settings)
    state = read_state(home.state_file)
    ran = state.is_supervised
    if state.supervisor is not None and ran:
        state.supervisor.stop((signal.SIGTERM,), _STOP_SECONDS)
    return _end_leftovers(home) or ran


def _end_leftovers(home: StackHome) -> bool:
    state = read_state(home.state_file)
    known = [process for name in ("recovery", "worker", "server") if (process := state.process(name)) is not None]
    flows = stack_processes(str(home.root), except_pids=[process.pid for process in known])
    postgres = embedded_process(home)
    end_all([*known[:-1], *flows, *known[-1:]], _PART_GRACE_SECONDS)
    if postgres is not None:
        postgres.stop(STOP_SIGNALS, _PART_GRACE_SECONDS)
    if home.state_file.exists():
        write_state(home.state_file, StackState(api_url=state.api_url, is_local_server=state.is_local_server))
    return bool(known or flows or postgres)


def _running(state: StackState, *, started_here: bool = False) -> RunningStack:
    return RunningStack(state.api_url or "", state.database_url or "", state.model_fingerprint, started_here)


def _wait_until_running(
    home: StackHome, report: Callable[[str], None], supervisor: "subprocess.Popen[bytes] | None" = None
) -> RunningStack:
    """The stack once it is ready, telling its phases; `supervisor` is the process that we started for it."""
    deadline, told = time.monotonic() + _START_SECONDS, ""
    while time.monotonic() < deadline:
        state = read_state(home.state_file)
        if state.is_running:
            return _running(state, started_here=_is(supervisor, state))
        if state.is_supervised and state.phase and state.phase != told:
            told = state.phase
            report(told)
        if supervisor is not None and supervisor.poll() not in {None, 0}:
            break
        time.sleep(_POLL_SECONDS)
    raise ConfigurationError(
        f"the local stack did not start: see why in {home.log_file('supervisor')}:\n{home.log_tail('supervisor')}"
    )


def _is(supervisor: "subprocess.Popen[bytes] | None", state: StackState) -> bool:
    return supervisor is not None and state.supervisor is not None and state.supervisor.pid == supervisor.pid


def refuse_silent_api(url: str | None) -> None:
    """Nothing, if a Prefect server answers at the URL, or none is named.

    Raises:
        ConfigurationError: nobody answers there.
    """
    if url is None:
        return
    try:
        urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=_ANSWER_SECONDS).close()
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"PREFECT_API_URL is {url!r}, and no Prefect server answers there ({_reason(error)}): "
            "start that server, or unset the variable to use a local one"
        ) from error


def _reason(error: Exception) -> object:
    return error.reason if isinstance(error, urllib.error.URLError) else error
