"""Every mention that is listed is placed in the passage or rejected; nothing in between."""

from knowledge.domain import Span
from tests.findings import OSLO, TEXT, mentioned


def _places(*mentions: tuple[str, int], text: str = TEXT) -> tuple[list[tuple[int, int]], list[str]]:
    """Where the mentions of one thing are, and which are nowhere."""
    thing = {"id": "e1", "mentions": [{"text": t, "start": s} for t, s in mentions]}
    found = mentioned(thing, text=text)
    nowhere = [r.item for r in found.rejections if r.reason == "is not in the passage"]
    return [(m.span.start, m.span.end) for m in found.mentions], nowhere


def test_a_mention_is_where_it_says_when_the_text_is_there() -> None:
    """A model that counts well is believed, so that namesakes keep apart."""
    assert _places(("Ada", 15)) == ([(15, 18)], [])


def test_a_mention_with_a_nearly_right_offset_is_the_nearest() -> None:
    """Models miscount by a few characters; two namesakes must still keep apart."""
    far = {"id": "e1", "name": "Ada", "mentions": [{"text": "Ada", "start": 13}]}
    near = {"id": "e2", "name": "Ada", "mentions": [{"text": "Ada", "start": 1}]}
    assert [(m.span.start, m.things) for m in mentioned(far, near).mentions] == [(0, ("e2",)), (15, ("e1",))]
    assert [m.span.start for m in mentioned(far).mentions] == [15]


def test_repeated_mentions_take_the_places_in_order() -> None:
    """Two mentions of one text are two places, and a third where there are two is no other."""
    assert _places(("Ada", -1), ("Ada", -1), ("Ada", -1)) == ([(0, 3), (15, 18)], [])


def test_a_mention_that_is_not_there_is_rejected() -> None:
    """An invented mention has no place, and must not vanish silently."""
    assert _places(("Oslo", 0), ("Bergen", 0), ("", 0)) == ([(39, 43)], ["Bergen", ""])


def test_case_and_typography_do_not_hide_a_mention() -> None:
    """Models tidy up what they copy; the span is the passage's own text."""
    (mention,) = mentioned({"id": "e1", "mentions": ["the 'nordlys'  prize"]}).mentions
    assert mention.text == "the “Nordlys” Prize"


def test_part_of_a_word_or_name_is_the_last_place_to_look() -> None:
    """`Ann` in `Annual` is not Ann when Ann is there, nor is the York of New York."""
    assert _places(("Ann", -1), text="The Annual met Ann.") == ([(15, 18)], [])
    york = {"id": "e1", "mentions": ["York"]}
    city = {"id": "e2", "mentions": [{"text": "New York", "start": 0}]}
    assert [m.span for m in mentioned(york, city, text="New York and York.").mentions] == [Span(0, 8), Span(13, 17)]


def test_a_mention_may_name_two_things() -> None:
    """Two films of one title are two things, even where one mention means both."""
    (mention,) = mentioned(OSLO, {**OSLO, "id": "e3"}).mentions
    assert mention.things == ("e2", "e3")


def test_a_thing_without_mentions_is_where_its_name_is() -> None:
    """Models forget to list what they have just named."""
    (mention,) = mentioned({"id": "e1", "name": "Oslo", "types": ["city"]}).mentions
    assert (mention.span, mention.text, mention.things) == (Span(39, 43), "Oslo", ("e1",))


def test_the_name_of_a_class_is_no_mention_of_a_thing() -> None:
    """`a prize` is of a kind that the ontology has, and no particular one."""
    listed = {"id": "e7", "name": "prize", "types": ["prize"], "mentions": ["prize"]}
    found = mentioned(listed, text="She won a prize.")
    assert (found.mentions, found.things) == ((), ())
    assert [r.reason for r in found.rejections] == ["is the name of a class and no particular thing"]


def test_a_thing_that_is_named_nowhere_is_rejected_and_stays_listed() -> None:
    """It may be a value in the model's own writing, of which a statement speaks."""
    found = mentioned({"id": "e7", "name": "1901-05-04"})
    assert [r.reason for r in found.rejections] == ["is named nowhere in the passage"]
    assert [thing.name for thing in found.things] == ["1901-05-04"]


def test_nothing_listed_is_nothing_found() -> None:
    """An empty passage is no error."""
    assert not mentioned(text="It rained.").mentions
