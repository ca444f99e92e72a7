"""The error tree. One root; every leaf says what was wrong and what to do, and whether trying again can help.

`retryable` is about the same call with the same input; `fails_item_only` says that the run goes on without
the item (which is recorded), because other items can still succeed; `defers_run` says that nothing is wrong with
item or run, and that the run is to be set aside and goes on from here later. An error that is both `retryable` and
`fails_item_only` is tried again first.
"""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from knowledge.domain import Usage


class KnowledgeError(Exception):
    """The root of every error that this project raises on purpose."""

    retryable: ClassVar[bool] = False
    fails_item_only: ClassVar[bool] = False
    defers_run: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore, (type(self), dict(self.__dict__)))


def _restore(kind: type[KnowledgeError], state: dict[str, object]) -> KnowledgeError:
    error = kind.__new__(kind, state.get("message"))
    error.__dict__.update(state)
    return error


class InputRefused(KnowledgeError):
    """Bad input, refused at the door before any model is asked."""


class InvalidId(InputRefused, ValueError):
    """A text that is not an id of the kind expected."""

    def __init__(self, kind: str, value: str, form: str) -> None:
        super().__init__(f"{value[:80]!r} is not a valid {kind}: it must be {form}")
        self.kind = kind
        self.value = value


class DocumentRefused(InputRefused):
    """A document that cannot be read as text, or is empty or too long."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"document {name!r} {problem}")
        self.name = name


class OntologyRefused(InputRefused):
    """An ontology that does not parse or has nothing to extract with."""

    def __init__(self, name: str, problem: str, *, line: int | None = None, column: int | None = None) -> None:
        place = "" if line is None else f", line {line}" + ("" if column is None else f", column {column}")
        super().__init__(f"ontology {name!r}{place}: {problem}")
        self.name = name
        self.line = line
        self.column = column


class LocationRefused(InputRefused):
    """A path or URL outside the roots from which this installation may read."""

    def __init__(self, location: str, problem: str) -> None:
        super().__init__(f"{location!r} {problem}")
        self.location = location


class SignalRefused(InputRefused):
    """A signal that does not exist, or that can change nothing about its execution."""


class ErasureRefused(KnowledgeError):
    """An organisation that cannot be erased now, because something of it is under way."""


class NotFound(KnowledgeError):
    """Something asked for by id that this organisation does not have."""

    def __init__(self, kind: str, value: str) -> None:
        super().__init__(f"there is no {kind} {value!r} in this organisation")
        self.kind = kind
        self.value = value


class NothingExtracted(NotFound):
    """An organisation's graph asked for before there is any: perhaps its name is misspelt."""

    def __init__(self, organization_id: str) -> None:
        KnowledgeError.__init__(
            self,
            f"organisation {organization_id!r} has no graph: look for a slip in its name (--organization), or extract "
            "documents with `knowledge run`",
        )
        self.kind = "graph"
        self.value = organization_id


class ConfigurationError(KnowledgeError):
    """Settings or installation that cannot work; nothing about the input is wrong."""


class ModelError(KnowledgeError):
    """A model endpoint, or its answer, failed us."""

    def __init__(self, endpoint: str, message: str) -> None:
        super().__init__(f"{endpoint}: {message}")
        self.endpoint = endpoint


class ModelUnavailable(ModelError):
    """The endpoint timed out, refused the connection or answered 5xx.

    `consecutive_failures`, this one included, it has had since it last answered anybody; 0 where that is not known.
    """

    retryable = True

    def __init__(self, endpoint: str, message: str) -> None:
        super().__init__(endpoint, message)
        self.consecutive_failures = 0


class ModelReplyUnreadable(ModelError):
    """The endpoint replied with something that is not of its API, such as a proxy's page: neither up nor down."""

    retryable = True
    fails_item_only = True


class ModelThrottled(ModelError):
    """The endpoint answered 429; `retry_after_seconds` is what it asked for, if it did."""

    retryable = True

    def __init__(self, endpoint: str, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(endpoint, message)
        self.retry_after_seconds = retry_after_seconds


class ModelHeldBack(ModelError):
    """The endpoint is down or throttling for longer than callers wait; it may be asked again in `probe_in_seconds`.

    In a workflow the run is set aside, and goes on by itself; without one it is the caller who tries again.
    """

    defers_run = True

    def __init__(self, endpoint: str, message: str, *, probe_in_seconds: float) -> None:
        super().__init__(endpoint, message)
        self.probe_in_seconds = probe_in_seconds


class SpendCeilingReached(KnowledgeError):
    """The execution has spent what it may on models; what it has is kept, and it can go on with a higher ceiling."""

    defers_run = True


class ModelRequestRefused(ModelError):
    """The endpoint refuses this very request (too long, filtered): others may pass."""

    fails_item_only = True


class ModelAccessRefused(ModelError):
    """The endpoint refuses all our requests: wrong key, model or address."""


class ModelAnswerInvalid(ModelError):
    """The answer did not validate, also when asked again with the error; `usage` is what the answers cost."""

    fails_item_only = True

    def __init__(self, endpoint: str, message: str, *, usage: "Usage | None" = None) -> None:
        super().__init__(endpoint, message)
        self.usage = usage


class ItemGivenUp(KnowledgeError):
    """This execution has asked for the item before, and got no usable answer."""

    fails_item_only = True


class ResultNotPersisted(KnowledgeError):
    """A stage's answer could not be written to, or read from, the result storage."""

    retryable = True


class StoreUnavailable(KnowledgeError):
    """The database did not answer."""

    retryable = True


class FollowerTooSlow(KnowledgeError):
    """Who follows an execution did not take its events as they came; following after `last_number` loses none."""

    def __init__(self, execution_id: str, last_number: int) -> None:
        super().__init__(
            f"the progress of {execution_id} was not read as fast as it came: follow it again, after {last_number}"
        )
        self.execution_id = execution_id
        self.last_number = last_number


class FenceLost(KnowledgeError):
    """This process has no right to the flow run (any more): another one has, or its execution has ended."""


class ExecutionFailed(KnowledgeError):
    """A run ended without completing; `message` is the reason its execution row carries."""


class ExecutionCancelled(KnowledgeError):
    """A run was told to stop; `message` is the reason its execution row carries."""
