"""Objects in an S3-compatible store, named by `s3://bucket/key` and reached as the AWS variables say."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING

from knowledge.errors import ConfigurationError, InputRefused

if TYPE_CHECKING:
    from obstore.store import S3Store

SCHEME = "s3://"
# An object is sent in parts of this size; the store shows it when the last one has come and the upload is completed.
_PART_BYTES = 8_000_000
_RETRY_SECONDS = 30
# Of a key; stores keep them, and clients lose them.
_EMPTY_PARTS = {"", ".", ".."}
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
# An instance's role is asked for only where it is said to be: elsewhere that question is answered by nobody.
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_METADATA_ENDPOINT",
    "AWS_SKIP_SIGNATURE",
)


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """Where an object is, or is to be."""

    bucket: str
    key: str

    @classmethod
    def of(cls, url: str) -> "ObjectAddress":
        """The address in `s3://bucket/key`.

        Raises:
            InputRefused: the URL names no bucket, no object, or a directory.
        """
        bucket, _, key = url.removeprefix(SCHEME).partition("/")
        if not url.startswith(SCHEME) or not bucket or not _EMPTY_PARTS.isdisjoint(key.split("/")):
            raise InputRefused(f"{url!r} names no object: it must look like s3://bucket/prefix/graph.ttl")
        return cls(bucket, key)

    @property
    def url(self) -> str:
        """`s3://bucket/key`."""
        return f"{SCHEME}{self.bucket}/{self.key}"


def require_place(url: str) -> None:
    """Nothing, if objects can be put below `s3://bucket/prefix`, as far as can be told without putting one there.

    Raises:
        InputRefused: the URL names no bucket, or a prefix with empty parts.
        ConfigurationError: the extra is missing, there are no credentials or no such bucket, or nobody answers.
    """
    address = _place(url)
    store = _open_store(address, os.environ)
    from obstore.exceptions import BaseError, PermissionDeniedError

    try:
        # Typed as unknown by the client, whose listing may also be a table.
        next(iter(store.list(address.key or None, chunk_size=1)), None)  # pyright: ignore[reportUnknownMemberType]
    except PermissionDeniedError:
        # Who may write need not be allowed to look.
        return
    except (BaseError, OSError) as error:
        raise ConfigurationError(f"{url} cannot be written to: {_reason(error, address)}") from error


def _place(url: str) -> ObjectAddress:
    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    if not bucket or (prefix and not _EMPTY_PARTS.isdisjoint(prefix.split("/"))):
        raise InputRefused(f"{url!r} names no place for objects: it must look like s3://bucket/prefix")
    return ObjectAddress(bucket, prefix)


def write_object(url: str, pieces: Iterable[bytes]) -> None:
    """Stores the pieces as one object, which replaces another of that name when all of it has arrived.

    Raises:
        InputRefused: the URL is none of an object.
        ConfigurationError: the extra is missing, there are no credentials, or the store refuses or does not answer.
    """
    address = ObjectAddress.of(url)
    store = _open_store(address, os.environ)
    from obstore.exceptions import BaseError

    parts = _parts(pieces)
    first, second = next(parts, b""), next(parts, None)
    whole = first if second is None else chain((first, second), parts)
    try:
        store.put(address.key, whole, use_multipart=second is not None, chunk_size=_PART_BYTES)
    except (BaseError, OSError) as error:
        raise ConfigurationError(f"{address.url} was not written: {_reason(error, address)}") from error


def _open_store(address: ObjectAddress, environment: Mapping[str, str]) -> "S3Store":
    try:
        from obstore.store import S3Store
    except ImportError:
        raise ConfigurationError(
            "writing to s3:// needs the extra `s3`: pip install 'durable-knowledge[s3]', or write to a file"
        ) from None
    if not any(environment.get(name) for name in _CREDENTIALS):
        raise ConfigurationError(
            "there are no credentials for s3://: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_ENDPOINT_URL "
            "for a store that is not Amazon's), or AWS_METADATA_ENDPOINT where the machine has a role of its own"
        )
    endpoint = next((environment[name] for name in _ENDPOINTS if environment.get(name)), "")
    return S3Store(
        address.bucket,
        # Who names an endpoint without TLS means it.
        client_options={"allow_http": endpoint.startswith("http://")},
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)},
    )


def _parts(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in parts that are worth a call each."""
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) >= _PART_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _reason(error: Exception, address: ObjectAddress) -> str:
    """What the store said, without the client's own innards, which follow it."""
    said = str(error).partition("Debug source")[0].strip()
    return f"there is no bucket {address.bucket!r}" if "NoSuchBucket" in said else said
