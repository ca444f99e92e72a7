"""The documentation says what the code does: every setting, command and test that it names is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.main import get_command

from deployments.cli import app
from knowledge.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_ROOMS = "knowledge|tables|tasks|flows|deployments|resilience|tests|docs|examples"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (*DOCS.glob("*.md"), ROOT / "README.md")}


def settings_of(model: type[BaseModel], prefix: str = "KNOWLEDGE_") -> Iterator[str]:
    """The variables of all settings, inner levels included."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from settings_of(inner, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper()


def test_every_setting_is_on_the_page_and_every_setting_on_the_page_exists() -> None:
    """A setting that nobody finds is none, and one that does nothing is worse."""
    listed = re.findall(r"^\| `(KNOWLEDGE_\w+)`", PAGES["configuration.md"], re.MULTILINE)
    assert sorted(listed) == sorted(settings_of(Settings))


def test_defaults_are_those_of_the_code() -> None:
    """What is said of a number must be that number."""
    stated = dict(re.findall(r"^\| `(KNOWLEDGE_\w+)` \| ([\d.]+) \|", PAGES["configuration.md"], re.MULTILINE))
    settings = Settings.model_construct()
    for name, value in stated.items():
        found: object = settings
        for part in name.removeprefix("KNOWLEDGE_").lower().split("__"):
            found = getattr(found, part)
        assert found == float(value), name


@pytest.mark.parametrize("page", sorted(PAGES))
def test_settings_named_elsewhere_exist(page: str) -> None:
    """Names that are given in full; `…__NAME` is short for one in the same sentence."""
    known = {*settings_of(Settings), "KNOWLEDGE_TEST_CHROMIUM"}
    levels = {name.rpartition("__")[0] + "__" for name in known}
    assert not set(re.findall(r"KNOWLEDGE_[A-Z_]+", PAGES[page])) - known - levels - {"KNOWLEDGE_"}


@pytest.mark.parametrize("page", sorted(PAGES))
def test_commands_and_their_options_exist(page: str) -> None:
    """What is shown can be typed."""
    commands = getattr(get_command(app), "commands")  # noqa: B009 -- click's group, which is untyped
    for name, rest in re.findall(r"(?:\.venv/bin/|`)knowledge ([a-z]+)([^\n`]*)", PAGES[page]):
        assert name in commands, name
        command = commands[name]
        either = (command, *getattr(command, "commands", {}).values())
        options = {option for each in either for parameter in each.params for option in parameter.opts}
        said = set(re.findall(r"(?<!\S)--[a-z-]+", rest.partition("#")[0]))
        assert said <= options, (name, said - options)


def test_every_guarantee_names_tests_that_exist() -> None:
    """A promise without a test is a hope."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGES["guarantees.md"])
    assert len(named) > 30
    for file, test in named:
        assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), test
    rows = [row for row in PAGES["guarantees.md"].splitlines() if row.startswith("| ") and "promise | tests" not in row]
    assert all("::" in row for row in rows)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_files_that_are_named_exist(page: str) -> None:
    """Paths of the repository, as they are written in code font."""
    for path in re.findall(
        r"`((?:knowledge|tables|tasks|flows|deployments|resilience|tests|docs|examples)/[\w./]*)`", PAGES[page]
    ):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "REFLECTION_LOG.md"])
def test_links_of_pages_outside_the_documentation_lead_somewhere(page: str) -> None:
    """The documentation's own are checked when it is built (`make docs`)."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


def test_a_temperature_can_be_left_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the page says, and although an empty variable counts as not set."""
    monkeypatch.setenv("KNOWLEDGE_CHAT__TEMPERATURE", "none")
    assert Settings().chat.temperature is None
