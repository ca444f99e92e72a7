"""Reciprocal rank fusion."""

from knowledge.search.fusion import fuse


def test_what_two_rankings_agree_on_comes_before_what_one_puts_first() -> None:
    """That is what fusion is for: no channel is trusted alone."""
    fused = fuse({"words": ["a", "b"], "vectors": ["c", "b"]})
    assert [found.item for found in fused] == ["b", "a", "c"]
    assert fused[0].ranks == {"words": 2, "vectors": 2}
    assert fused[0].score == 2 / 62


def test_an_item_named_twice_by_a_ranking_counts_once() -> None:
    """A fact that several passages state would otherwise push itself up."""
    (found,) = fuse({"words": ["a", "a"]})
    assert found.score == 1 / 61
