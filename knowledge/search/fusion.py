"""Reciprocal rank fusion: one ranking out of several whose scores cannot be compared."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)

RRF_K = 60
"""Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet", SIGIR 2009."""


@dataclass(frozen=True, slots=True)
class Fused(Generic[Item]):
    """An item, its score (the sum of 1 / (60 + rank) over the rankings that have it), and those ranks, from 1."""

    item: Item
    score: float
    ranks: Mapping[str, int]


def fuse(rankings: Mapping[str, Sequence[Item]]) -> tuple[Fused[Item], ...]:
    """All items of the rankings, best first; equal scores keep the order in which the rankings name them."""
    ranks: dict[Item, dict[str, int]] = {}
    for name, ranking in rankings.items():
        for rank, item in enumerate(dict.fromkeys(ranking), 1):
            ranks.setdefault(item, {})[name] = rank
    fused = (Fused(item, sum(1 / (RRF_K + rank) for rank in at.values()), at) for item, at in ranks.items())
    return tuple(sorted(fused, key=lambda found: -found.score))
