"""One thing is one, and two things are two, whatever the passages call them."""

from knowledge.domain import Chunk, Extractor, Span
from knowledge.ids import ChunkId
from knowledge.stages.assembly import Assembly, Fact, Node, NodeMention
from knowledge.stages.identity import cluster
from knowledge.stages.names import folded_name
from tests.sample import NAMESPACE, sample_ontology

CHUNK = Chunk(ChunkId.derive("c"), 0, Span(0, 1), "x")
PERSON, SCIENTIST, CITY, PRIZE = (f"{NAMESPACE}{name}" for name in ("Person", "Scientist", "City", "Prize"))
WON, BORN = f"{NAMESPACE}won", f"{NAMESPACE}bornIn"


def _node(passage: int, name: str, *classes: str, says: tuple[str, ...] = (), at: int | None = None) -> Node:
    """A node of a passage that says a name, and perhaps others, at a place of its own unless given."""
    start = 1000 * passage + 37 * len(name) if at is None else at
    mentions = tuple(
        NodeMention(Span(start + n, start + n + len(text)), text, CHUNK, Extractor("scripted", "m"))
        for n, text in enumerate((name, *says))
    )
    return Node(name, classes, mentions, passage, None, "", "")


def _clusters(*nodes: Node, facts: tuple[tuple[int, str, int], ...] = ()) -> list[list[int]]:
    made = tuple(Fact(subject, predicate, target, None, 1.0, ()) for subject, predicate, target in facts)
    return cluster(Assembly(nodes, made), sample_ontology())


def test_case_accents_and_articles_do_not_make_another_thing() -> None:
    """Writers vary."""
    assert folded_name("The Nørdlys-Prize") == folded_name("nørdlys prize")
    assert _clusters(_node(0, "Nordlys Prize", PRIZE), _node(1, "the Nordlys prize", PRIZE)) == [[0, 1]]


def test_a_plain_name_is_folded_as_any_other() -> None:
    """Spaces do not count, articles go, and initials are one word, whether or not a name has anything else to fold."""
    assert folded_name(" Ada  Lovelace ") == folded_name("Ada Lovelace.") == "ada lovelace"
    assert folded_name("The Times") == folded_name("The Times.") == "times"
    assert folded_name("J K Rowling") == folded_name("J. K. Rowling") == "jk rowling"
    assert folded_name("the") == "the"


def test_one_name_of_incompatible_classes_is_two_things() -> None:
    """Paris the city and Paris the person are not one."""
    assert _clusters(_node(0, "Oslo", CITY), _node(1, "Oslo", PERSON)) == [[0], [1]]


def test_a_class_and_its_superclass_are_compatible() -> None:
    """A scientist is a person."""
    assert _clusters(_node(0, "Ada", SCIENTIST), _node(1, "Ada", PERSON)) == [[0, 1]]


def test_what_one_passage_keeps_apart_is_never_joined() -> None:
    """Five films of one title, told apart by who read the passage, stay five, also by way of another passage."""
    films = [_node(0, "Dracula", PRIZE) for _ in range(3)]
    assert len(_clusters(*films)) == 3
    assert len(_clusters(*films, _node(1, "Dracula", PRIZE))) == 3


def test_of_namesakes_the_one_of_which_the_same_is_said_is_chosen() -> None:
    """What a thing is related to tells it from its namesakes."""
    nodes = (
        _node(0, "Brandt", PERSON),
        _node(0, "Brandt", PERSON, at=9),
        _node(0, "Oslo", CITY),
        _node(1, "Brandt", PERSON),
        _node(1, "Oslo", CITY),
    )
    assert [1, 3] in _clusters(*nodes, facts=((1, BORN, 2), (3, BORN, 4)))
    assert [0, 3] in _clusters(*nodes, facts=((0, BORN, 2), (3, BORN, 4)))


def test_a_mention_that_two_passages_share_is_of_one_thing() -> None:
    """Passages overlap; what stands in both is the same place, whatever each calls it."""
    assert _clusters(_node(0, "A. Brandt", PERSON, at=7), _node(1, "A. Brandt, PhD", PERSON, at=7)) == [[0], [1]]
    shared = (_node(0, "Ada Brandt", PERSON, says=("she",)), _node(1, "Ilse Holm", PERSON))
    same_place = Node("Ilse Holm", (PERSON,), shared[0].mentions[1:], 1, None, "", "")
    assert _clusters(shared[0], same_place) == [[0, 1]]


def test_an_alias_that_only_one_thing_uses_is_that_thing() -> None:
    """Where one passage introduces a short name, the others may use it."""
    nodes = (_node(0, "World Health Organization", PRIZE, says=("the Agency", "it")), _node(1, "Agency", PRIZE))
    assert _clusters(*nodes) == [[0, 1]]
    other = _node(0, "Space Agency", PRIZE, says=("Agency",))
    assert _clusters(nodes[0], other, nodes[1]) == [[0], [1], [2]]


def test_a_word_that_is_no_name_joins_nothing() -> None:
    """`the film` is another film in each passage."""
    assert _clusters(_node(0, "Dracula", PRIZE, says=("the film",)), _node(1, "the film", PRIZE)) == [[0], [1]]


def test_a_surname_belongs_to_the_one_person_who_bears_it() -> None:
    """Texts introduce people in full and go on with the surname; guessing between two would be worse than neither."""
    ada, otto = _node(0, "Ada Brandt", SCIENTIST), _node(1, "Otto Brandt", PERSON)
    assert _clusters(ada, _node(1, "Brandt", PERSON)) == [[0, 1]]
    assert _clusters(ada, otto, _node(2, "Brandt", PERSON)) == [[0], [1], [2]]


def test_a_last_word_is_no_surname_of_what_is_no_person() -> None:
    """York is not New York."""
    assert _clusters(_node(0, "New York", CITY), _node(1, "York", CITY)) == [[0], [1]]


def test_an_acronym_belongs_to_the_one_name_with_its_initials() -> None:
    """And small words do not count."""
    assert _clusters(_node(0, "Prize of Northern Light", PRIZE), _node(1, "P.N.L.", PRIZE)) == [[0, 1]]
