"""Entities of two documents are linked by rules that say why, and doubtful links are only proposed."""

from knowledge.domain import Entity
from knowledge.ids import EntityId
from knowledge.linking import Described, EntityLink, LinkStatus, judge, keys_of, sought_by

BORN = "urn:birthDate"


def _described(document: str, label: str, *aliases: str, classes: tuple[str, ...] = (), **more: object) -> Described:
    entity = Entity(EntityId.derive(document, label), label, classes, aliases)
    return Described(entity, **more)  # type: ignore[arg-type]


def _status(one: Described, other: Described) -> LinkStatus | None:
    link = judge(one, other)
    assert link == judge(other, one) or link is None or link.reasons
    return link and link.status


def test_one_name_of_several_words_is_one_thing_and_the_reason_is_given() -> None:
    """People are known by their full names."""
    link = judge(_described("a", "Marie Curie"), _described("b", "Marie Curie"))
    assert isinstance(link, EntityLink)
    assert (link.status, link.reasons) == (LinkStatus.ACCEPTED, ("both are called Marie Curie",))
    assert link == judge(_described("b", "Marie Curie"), _described("a", "Marie Curie"))


def test_things_without_a_common_class_are_not_linked() -> None:
    """Paris the city and Paris the person."""
    one, other = _described("a", "Paris", classes=("urn:City",)), _described("b", "Paris", classes=("urn:Person",))
    assert judge(one, other) is None


def test_namesakes_are_linked_only_with_a_fact_in_common() -> None:
    """Where a document tells five films of one title apart, the title alone names none of them."""
    fact = frozenset({("urn:director", "terence fisher")})
    known = _described("a", "Dracula", has_namesakes=True, facts=fact)
    assert _status(known, _described("b", "Dracula")) is None
    assert _status(known, _described("b", "Dracula", facts=fact)) is LinkStatus.ACCEPTED


def test_different_dates_speak_against_it_and_vaguer_ones_do_not() -> None:
    """Two people of one name are seldom born on one day."""

    def born(document: str, date: str) -> Described:
        return _described(document, "Ada Brandt", dates=frozenset({(BORN, date)}))

    assert _status(born("a", "1901-05-04"), born("b", "1870-01-01")) is None
    assert _status(born("a", "1901-05-04"), born("b", "1901")) is LinkStatus.ACCEPTED


def test_short_forms_and_spellings_are_proposed() -> None:
    """They may be right, and somebody has to say so."""
    assert _status(_described("a", "WHO"), _described("b", "World Health Organization")) is LinkStatus.PROPOSED
    assert _status(_described("a", "Wilhelm Roentgen"), _described("b", "Wilhelm Rontgen")) is LinkStatus.PROPOSED
    assert judge(_described("a", "Marie Curie"), _described("b", "Pierre Curie")) is None


def test_candidates_have_a_key_that_is_sought_and_others_do_not() -> None:
    """Nobody is compared with everybody, and two people not for having the same initials."""

    def are_compared(one: str, other: str) -> bool:
        mine, theirs = (keys_of(_described("a", label).entity) for label in (one, other))
        assert bool(sought_by(mine) & theirs) == bool(sought_by(theirs) & mine)
        return bool(sought_by(mine) & theirs)

    assert are_compared("Curie, Marie", "Marie Curie")
    assert are_compared("W.H.O.", "World Health Organization")
    assert are_compared("Wilhelm Roentgen", "Wilhelm Rontgen")
    assert not are_compared("Marie Curie", "Pierre Curie")
    assert not are_compared("Wendy Holmes Olsen", "World Health Organization")
    assert not keys_of(_described("a", "the company").entity)
