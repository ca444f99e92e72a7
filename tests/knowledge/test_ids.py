"""Ids are branded: validated, derived from content, and never one for another."""

import pickle

import pytest
from pydantic import BaseModel, ValidationError

from knowledge.errors import InvalidId
from knowledge.ids import DocumentId, EntityId, FlowRunId, Id, OrganizationId, digest_of


def _kinds(base: type[Id] = Id) -> list[type[Id]]:
    return [kind for sub in base.__subclasses__() for kind in (sub, *_kinds(sub))]


def test_equal_content_has_equal_ids_and_other_content_other_ids() -> None:
    """Whoever computes it, whenever: the id of the same content is the same."""
    assert DocumentId.derive("acme", "text") == DocumentId.derive("acme", "text")
    assert DocumentId.derive("acme", "text") != DocumentId.derive("acmetext", "")


def test_parts_cannot_be_shifted_into_each_other() -> None:
    """Without lengths, ("ab", "c") and ("a", "bc") would be one."""
    assert digest_of("ab", "c") != digest_of("a", "bc")


def test_new_ids_differ() -> None:
    """Things that happen have no content to be known by."""
    assert EntityId.new() != EntityId.new()


@pytest.mark.parametrize(
    "text", ["", "doc_", "doc_" + "g" * 32, "doc_" + "a" * 31, "ent_" + "a" * 32, "DOC_" + "a" * 32]
)
def test_a_text_of_another_form_is_refused(text: str) -> None:
    """A typo must not travel as an id."""
    with pytest.raises(InvalidId, match="not a valid DocumentId"):
        DocumentId(text)


def test_an_id_of_another_kind_is_refused_even_if_it_looks_right() -> None:
    """An entity is not a document."""
    with pytest.raises(InvalidId):
        OrganizationId(EntityId.new())


@pytest.mark.parametrize("slug", ["a", "acme", "0-day_co", "a" * 63])
def test_slugs_are_organisations(slug: str) -> None:
    """The contract's form."""
    assert OrganizationId(slug) == slug


@pytest.mark.parametrize("slug", ["", "-a", "_a", "Acme", "a b", "a/b", "ä", "a" * 64, "a\n"])
def test_anything_else_is_no_organisation(slug: str) -> None:
    """Organisation ids end up in keys and paths."""
    with pytest.raises(InvalidId):
        OrganizationId(slug)


def test_every_prefix_is_used_once() -> None:
    """A prefix tells the kind."""
    prefixes = [kind.prefix for kind in _kinds() if kind.prefix]
    assert len(prefixes) == len(set(prefixes))


def test_ids_travel_through_json_and_pickle_as_themselves() -> None:
    """They are strings outside and branded inside."""

    class Carrier(BaseModel):
        id: DocumentId

    carrier = Carrier(id=DocumentId.derive("x"))
    assert Carrier.model_validate_json(carrier.model_dump_json()) == carrier
    assert type(pickle.loads(pickle.dumps(carrier.id))) is DocumentId
    with pytest.raises(ValidationError):
        Carrier.model_validate({"id": "nonsense"})
    assert Carrier.model_json_schema()["properties"]["id"]["pattern"] == "^doc_[0-9a-f]{32}$"


def test_a_flow_run_id_is_prefects_uuid() -> None:
    """As Prefect prints it."""
    assert FlowRunId("890524e0-dd9f-493d-b52a-68fdca9c80c4")
    with pytest.raises(InvalidId):
        FlowRunId("890524E0-DD9F-493D-B52A-68FDCA9C80C4")
