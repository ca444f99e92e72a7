"""One frozen tree of settings, read once from `KNOWLEDGE_…` variables at the composition root."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class EndpointSettings(BaseModel):
    """An OpenAI-compatible endpoint. Without `base_url` and `api_key` the embedded model is used instead."""

    model_config = ConfigDict(frozen=True)

    base_url: str | None = Field(default=None, pattern=r"^https?://", description="e.g. http://localhost:8000/v1")
    model: str = Field(default="", max_length=200)
    api_key: SecretStr | None = None
    max_concurrency: int = Field(default=8, ge=1, le=1000, description="calls in flight per flow process")
    requests_per_minute: int | None = Field(default=None, ge=1, description="over all processes; none: no limit")
    tokens_per_minute: int | None = Field(default=None, ge=1, description="over all processes; none: no limit")
    timeout_seconds: float = Field(default=120.0, gt=0, le=3600, description="then a call without an answer is cut")
    temperature: float | None = Field(default=0.0, ge=0, le=2, description="chat only; `none` for models without one")

    @field_validator("temperature", mode="before")
    @classmethod
    def _may_be_none(cls, value: object) -> object:
        # An empty variable counts as not set, so none must be said.
        return None if isinstance(value, str) and value.strip().lower() == "none" else value

    @property
    def is_configured(self) -> bool:
        """Whether there is a remote endpoint to ask."""
        return self.base_url is not None or self.api_key is not None

    @property
    def has_rate(self) -> bool:
        """Whether it may be asked only so much a minute."""
        return self.requests_per_minute is not None or self.tokens_per_minute is not None


class DocumentSettings(BaseModel):
    """What may come in, and from where."""

    model_config = ConfigDict(frozen=True)

    max_bytes: int = Field(default=10_000_000, ge=1, description="longest document or ontology accepted")
    allowed_roots: tuple[str, ...] = Field(
        default=(),
        description="directories and URL prefixes from which a deployment may read; empty: the directory "
        "in which the stack or worker was started",
    )


class RetrySettings(BaseModel):
    """How often and how patiently a stage item is tried again after a retryable error."""

    model_config = ConfigDict(frozen=True)

    attempts: int = Field(default=3, ge=0, le=20, description="retries after the first try")
    first_delay_seconds: float = Field(default=1.0, ge=0, le=600, description="doubled for each further retry")
    jitter: float = Field(default=0.5, ge=0, le=1, description="each delay is stretched by up to this share")


class CircuitSettings(BaseModel):
    """When an endpoint counts as down, how often it is tried then, and how long a run waits for it."""

    model_config = ConfigDict(frozen=True)

    failures: int = Field(default=5, ge=1, le=1000, description="consecutive failures that open the circuit")
    open_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="from one probe of a dead endpoint to the next"
    )
    patience_seconds: float = Field(
        default=300.0, ge=0, description="then a waiting run gives its worker back, until the endpoint answers again"
    )


class SpendSettings(BaseModel):
    """What one execution may spend on remote models; a run may set a ceiling of its own."""

    model_config = ConfigDict(frozen=True)

    max_calls: int | None = Field(default=None, ge=1, description="chat and embedding calls; none: no ceiling")
    max_tokens: int | None = Field(default=None, ge=1, description="tokens read and written; none: no ceiling")


class RecoverySettings(BaseModel):
    """When a run whose process has died is taken up again, and when it is given up."""

    model_config = ConfigDict(frozen=True)

    grace_seconds: float = Field(
        default=10.0,
        ge=2,
        le=3600,
        description="how long a run is left alone after its process has died; a worker reports a death up to 8 "
        "seconds late, and with less than 10 that report may hit the run when it has been resumed",
    )
    max_resumes: int = Field(default=10, ge=0, le=1000, description="then it is given up as failed")


class WorkerSettings(BaseModel):
    """One worker: what it is called, and how much it does at once."""

    model_config = ConfigDict(frozen=True)

    name: str | None = Field(
        default=None, pattern=r"^[\w.-]{1,200}$", description="in Prefect's UI, of its own; none: Prefect makes one up"
    )
    runs_at_once: int | None = Field(
        default=None, ge=1, le=1000, description="flow processes; none: 4, or 2 for each core if that is more"
    )


class AnswerSettings(BaseModel):
    """How questions are answered."""

    model_config = ConfigDict(frozen=True)

    patience_seconds: float = Field(
        default=3.0, ge=0, le=600, description="how long a question waits for an endpoint that is down or throttles"
    )
    context_characters: int = Field(
        default=12_000, ge=500, le=1_000_000, description="how much of the graph a chat model is shown"
    )


class LinkingSettings(BaseModel):
    """How the documents of an organisation are linked."""

    model_config = ConfigDict(frozen=True)

    max_questions: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="to the chat model about doubtful links, at most so many for each document; 0: rules alone",
    )


class RetentionSettings(BaseModel):
    """How long what is over is kept. Graphs, documents and ontologies stay; 0 or `none` keeps for good."""

    model_config = ConfigDict(frozen=True)

    executions_days: float | None = Field(
        default=90.0, ge=0, description="finished executions, their attempts and signals; what a graph rests on stays"
    )
    least_executions: int = Field(
        default=100, ge=1, description="so many of an organisation's newest finished executions stay, however old"
    )
    most_executions: int | None = Field(
        default=None, ge=1, description="older finished executions than so many newest go, however young"
    )
    answers_days: float | None = Field(
        default=365.0,
        ge=0,
        description="answers of models, from when they were stored; those that attempts on record name stay",
    )
    history_days: float | None = Field(default=90.0, ge=0, description="flow runs in Prefect, from their end")
    deleted_days: float | None = Field(default=30.0, ge=0, description="rows marked as deleted")

    @field_validator(
        "executions_days", "most_executions", "answers_days", "history_days", "deleted_days", mode="before"
    )
    @classmethod
    def _may_be_none(cls, value: object) -> object:
        # An empty variable counts as not set, so none must be said.
        return None if isinstance(value, str) and value.strip().lower() in {"none", "0"} else value


class Settings(BaseSettings):
    """All settings of the system. `__` stands between levels: `KNOWLEDGE_CHAT__BASE_URL`."""

    model_config = SettingsConfigDict(
        env_prefix="KNOWLEDGE_", env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True
    )

    home: Path = Field(default=Path(".knowledge"), description="where the local stack keeps its state")
    database_url: SecretStr | None = Field(default=None, description="used instead of the embedded PostgreSQL")
    port: Annotated[int, Field(ge=1, le=65535)] = 4200
    reports_url: str | None = Field(
        default=None, pattern=r"^https?://", description="where reports are served, for links to them in Prefect's UI"
    )
    calibration: Path | None = Field(
        default=None, description="a file of `benchmarks/fidelity.py --fit`: how sure facts of one's own model are"
    )
    chat: EndpointSettings = EndpointSettings()
    embedding: EndpointSettings = EndpointSettings()
    documents: DocumentSettings = DocumentSettings()
    retry: RetrySettings = RetrySettings()
    circuit: CircuitSettings = CircuitSettings()
    spend: SpendSettings = SpendSettings()
    recovery: RecoverySettings = RecoverySettings()
    answers: AnswerSettings = AnswerSettings()
    linking: LinkingSettings = LinkingSettings()
    retention: RetentionSettings = RetentionSettings()
    worker: WorkerSettings = WorkerSettings()

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.match(r"postgres(ql)?(\+\w+)?://", value.get_secret_value()):
            raise ValueError("must be a PostgreSQL URL such as postgresql://user@host/database")
        return value
