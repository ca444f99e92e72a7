"""Branded ids: one validated type for each kind of id, so that none can stand in for another.

An id is a `str` (it travels as JSON, SQL and text without conversion), but the type checker and the
constructor refuse a bare string or another kind's id. Ids of things with content are derived from that content:
the same content gives the same id, whoever computes it.
"""

import hashlib
import re
import uuid
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from knowledge.errors import InvalidId

_DIGEST_LENGTH = 32


class Id(str):
    """A validated id `<prefix>_<32 lower-case hex digits>`.

    Raises:
        InvalidId: the text does not have the form of this kind of id.
    """

    __slots__ = ()
    prefix: ClassVar[str] = ""
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"(?!)")
    form: ClassVar[str] = "an id"

    def __init_subclass__(cls, prefix: str | None = None) -> None:
        if prefix is not None:
            cls.prefix = prefix
            cls.pattern = re.compile(rf"{prefix}_[0-9a-f]{{{_DIGEST_LENGTH}}}")
            cls.form = f"{prefix}_ followed by {_DIGEST_LENGTH} lower-case hexadecimal digits"

    def __new__(cls, value: str) -> Self:
        if isinstance(value, Id) and not isinstance(value, cls):
            raise InvalidId(cls.__name__, value, cls.form)
        if not cls.pattern.fullmatch(value):
            raise InvalidId(cls.__name__, value, cls.form)
        return super().__new__(cls, value)

    @classmethod
    def derive(cls, *parts: str) -> Self:
        """The id of content: SHA-256 over the parts, each preceded by its length in bytes, cut to 128 bits."""
        # It has its form by the way it is made.
        return str.__new__(cls, f"{cls.prefix}_{digest_of(*parts)[:_DIGEST_LENGTH]}")

    @classmethod
    def new(cls) -> Self:
        """A fresh random id, for things that happen rather than have content."""
        return cls(f"{cls.prefix}_{uuid.uuid4().hex}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": f"^{cls.pattern.pattern}$"}


class OrganizationId(Id):
    """A tenant's slug: 1 to 63 lower-case letters, digits, `_` and `-`, beginning with a letter or digit."""

    __slots__ = ()
    pattern = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
    form = "1 to 63 lower-case letters, digits, '_' or '-', beginning with a letter or digit"


class FlowRunId(Id):
    """The UUID that Prefect gave a flow run, in lower case with hyphens."""

    __slots__ = ()
    pattern = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    form = "a UUID in lower case with hyphens"


class DocumentId(Id, prefix="doc"):
    """A document of an organisation, derived from organisation and text."""

    __slots__ = ()


class OntologyId(Id, prefix="ont"):
    """An ontology of an organisation, derived from organisation and content digest."""

    __slots__ = ()


class ChunkId(Id, prefix="chk"):
    """A chunk of a document, derived from document, text and place among equal texts."""

    __slots__ = ()


class ExtractionId(Id, prefix="ext"):
    """What is extracted: a document, read with an ontology, by certain models with certain options."""

    __slots__ = ()


class MentionId(Id, prefix="men"):
    """A place in a document that names an entity."""

    __slots__ = ()


class EntityId(Id, prefix="ent"):
    """A thing that an extraction found."""

    __slots__ = ()


class RelationId(Id, prefix="rel"):
    """A fact that an extraction found."""

    __slots__ = ()


class EvidenceId(Id, prefix="evd"):
    """A span of a document that states a relation."""

    __slots__ = ()


class EmbeddingId(Id, prefix="emb"):
    """A vector of a text under a model."""

    __slots__ = ()


class EntityNameId(Id, prefix="nam"):
    """A key under which an entity's namesakes are found."""

    __slots__ = ()


class LinkId(Id, prefix="lnk"):
    """That entities of two documents may be one thing, derived from the two."""

    __slots__ = ()


class ExecutionId(Id, prefix="exe"):
    """One run of an extraction, through every restart."""

    __slots__ = ()


class ActivityId(Id, prefix="act"):
    """One attempt of one stage on one item within an execution."""

    __slots__ = ()


class SignalId(Id, prefix="sig"):
    """A signal sent to an execution."""

    __slots__ = ()


class ProgressEventId(Id, prefix="evt"):
    """Something that happened to an execution: it progressed, or changed its status."""

    __slots__ = ()


class TokenId(Id, prefix="tok"):
    """A bearer token of the HTTP window; the id is no secret."""

    __slots__ = ()


class ResultId(Id, prefix="res"):
    """A stored stage result."""

    __slots__ = ()


class SegmentId(Id, prefix="seg"):
    """An extraction's part of the search index, under an embedding model."""

    __slots__ = ()


class EntryId(Id, prefix="sen"):
    """Something that search can find: an entity, a passage, or a predicate."""

    __slots__ = ()


class BatchId(Id, prefix="bat"):
    """A batch, derived from its sources, as they were given, and its ontology."""

    __slots__ = ()


class BatchDocumentId(Id, prefix="bdc"):
    """A document's place in a batch, derived from batch, location and ontology: its content may change."""

    __slots__ = ()


class TermId(Id, prefix="trm"):
    """A word or name and where in a segment it stands."""

    __slots__ = ()


def digest_of(*parts: str) -> str:
    """The SHA-256 (64 hex digits) over UTF-8 parts, length-prefixed so that no two lists of parts collide."""
    pieces: list[bytes] = []
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        pieces += (len(data).to_bytes(8, "big"), data)
    return hashlib.sha256(b"".join(pieces)).hexdigest()
