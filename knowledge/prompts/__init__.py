"""Prompts: versioned files beside this module, each named by stage and version, with a digest of its text."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Template

from knowledge.ids import digest_of

_SEPARATOR = "\n=== user ===\n"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt file: what the model is (system) and what it is asked (user), with `$name` places to fill."""

    name: str
    system: str
    user: str
    digest: str

    @property
    def reference(self) -> str:
        """Name and short digest, as provenance and cache keys carry it."""
        return f"{self.name}@{self.digest[:16]}"

    def fill(self, **values: str) -> str:
        """The user part with every place filled; `$` in values stays as it is.

        Raises:
            KeyError: a place has no value.
        """
        return Template(self.user).substitute(values)


@cache
def load_prompt(name: str) -> Prompt:
    """The prompt in the file `<name>.txt`, e.g. `mentions.v1`."""
    text = resources.files(__name__).joinpath(f"{name}.txt").read_text("utf-8")
    system, user = text.split(_SEPARATOR, 1)
    return Prompt(name, system.strip(), user.strip(), digest_of(text))
