"""Pairs that rules leave open, and the links that verdicts make of them."""

from knowledge.domain import Entity
from knowledge.doubtful_links import Surroundings, Verdict, decided, doubtful_pair
from knowledge.ids import EntityId
from knowledge.linking import Described, LinkStatus

AROUND = Surroundings({}, {"urn:p#born": "born in", "urn:c#Person": "person"})
BORN = "urn:birthDate"


def _described(document: str, label: str, *classes: str, **more: object) -> Described:
    return Described(Entity(EntityId.derive(document, label), label, classes), **more)  # type: ignore[arg-type]


def test_what_rules_know_is_not_asked() -> None:
    """Neither that two are one, nor that classes or dates tell them apart."""
    ada = _described("a", "Ada Brandt")
    assert doubtful_pair(ada, _described("b", "Ada Brandt"), AROUND) is None
    assert doubtful_pair(_described("a", "Ada", "urn:c#A"), _described("b", "A. Brandt", "urn:c#B"), AROUND) is None
    one, other = (frozenset({(BORN, date)}) for date in ("1901", "1870"))
    assert doubtful_pair(_described("a", "A", dates=one), _described("b", "B", dates=other), AROUND) is None


def test_a_pair_shows_what_is_known_of_both_whichever_comes_first() -> None:
    """The same pair is the same question, so that it is not paid for twice; IRIs tell a model nothing."""
    one = _described("a", "WHO", "urn:c#Person", facts=frozenset({("urn:p#born", "geneva"), ("^urn:p#born", "x")}))
    other = _described("b", "World Health Organization")
    pair = doubtful_pair(one, other, AROUND)
    assert pair is not None
    assert pair == doubtful_pair(other, one, AROUND)
    shown = pair.one_lines if pair.one == one.entity.id else pair.other_lines
    assert shown == ("name: WHO", "classes: person", "facts: born in geneva; is born in of x")


def test_a_verdict_is_weighed_like_another_reason() -> None:
    """It says who said so, what it cites, and can be undone like any link."""
    pair = doubtful_pair(_described("a", "WHO"), _described("b", "World Health Organization"), AROUND)
    assert pair is not None
    yes = decided(pair, Verdict(True, "its initials", ("WHO", "World Health")), "m")
    no = decided(pair, Verdict(False, "two bodies"), "m")
    assert yes is not None
    assert no is not None
    assert (yes.status, no.status) == (LinkStatus.ACCEPTED, LinkStatus.DECLINED)
    assert yes.score > pair.score > no.score
    assert yes.reasons[-1] == "m says that they are one: its initials (“WHO”; “World Health”)"
    assert yes.id == no.id
    assert decided(pair, Verdict(None), "m") is None
