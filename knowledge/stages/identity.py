"""Which nodes of a document are one thing. Names, classes and what is said of them decide; vectors do not.

What a reader of a passage kept apart stays apart: nodes of one passage are never joined. Between passages, nodes
whose classes are compatible (one shared, or one above the other, or none known) are joined by these rules, in order:

1. they share a mention, because the passages overlap;
2. they have one name but for case, article, accents and punctuation;
3. a proper name that one uses for itself is used by exactly one other;
4. a person's surname, when exactly one person's name in the document ends with it;
5. an acronym, when exactly one name in the document has those initials.

Where several candidates remain (namesakes), the one of which the same is said is chosen.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from knowledge.domain import Span
from knowledge.ontology import Ontology
from knowledge.stages.assembly import Assembly, Node
from knowledge.stages.names import folded_name, initials_of, is_acronym, is_proper

_PERSON_LABELS = frozenset({"person", "human", "human being", "people", "individual"})


def cluster(assembly: Assembly, ontology: Ontology) -> list[list[int]]:
    """The indexes of the nodes of each thing, sorted; things in order of first node."""
    clusters = _Clusters(assembly, ontology)
    for n, others in _by_shared_mention(assembly.nodes):
        clusters.join_best(n, others)
    own = _grouped(assembly.nodes, lambda node: {folded_name(node.name)})
    for group in own.values():
        clusters.join_by_passage(group)
    aliases = _grouped(assembly.nodes, _proper_names)
    for group in aliases.values():
        clusters.join_if_unique(group)
    clusters.join_short_forms(own, _surnames(own, clusters))
    clusters.join_short_forms(own, _acronyms(assembly.nodes, own))
    return clusters.members()


class _Clusters:
    """Disjoint sets of nodes, each with the classes, passages and sayings of its members."""

    def __init__(self, assembly: Assembly, ontology: Ontology) -> None:
        nodes = assembly.nodes
        self._nodes = nodes
        self._ontology = ontology
        self._parent = list(range(len(nodes)))
        self._classes = [set(node.classes) for node in nodes]
        self._passages = [{node.passage} for node in nodes]
        self._sayings = _sayings(assembly)

    def root(self, n: int) -> int:
        while self._parent[n] != n:
            self._parent[n] = self._parent[self._parent[n]]
            n = self._parent[n]
        return n

    def roots(self, nodes: Iterable[int]) -> list[int]:
        return list(dict.fromkeys(self.root(n) for n in nodes))

    def classes(self, n: int) -> set[str]:
        return self._classes[self.root(n)]

    def members(self) -> list[list[int]]:
        members: dict[int, list[int]] = defaultdict(list)
        for n in range(len(self._parent)):
            members[self.root(n)].append(n)
        return [members[root] for root in sorted(members)]

    def are_people(self, n: int) -> bool:
        lineage = {iri for own in self.classes(n) for iri in (own, *self._ontology.ancestors(own))}
        found = (self._ontology.get_class(iri) for iri in lineage)
        return any(label.text.casefold() in _PERSON_LABELS for item in found if item for label in item.labels)

    def may_join(self, a: int, b: int) -> bool:
        """Whether no passage told the two apart, and their classes do not either."""
        a, b = self.root(a), self.root(b)
        if a == b or self._passages[a] & self._passages[b]:
            return False
        mine, theirs = self._classes[a], self._classes[b]
        if not mine or not theirs or mine & theirs:
            return True
        is_a = self._ontology.is_a
        return any(is_a(x, y) or is_a(y, x) for x in mine for y in theirs)

    def join(self, a: int, b: int) -> None:
        low, high = sorted((self.root(a), self.root(b)))
        if low != high:
            self._parent[high] = low
            self._classes[low] |= self._classes[high]
            self._passages[low] |= self._passages[high]
            self._sayings[low] += self._sayings[high]

    def join_best(self, n: int, others: Sequence[int]) -> None:
        """Joins a node to the likeliest of the others that it may join."""
        candidates = [other for other in self.roots(others) if self.may_join(n, other)]
        if candidates:
            self.join(n, max(candidates, key=lambda other: (self._likeness(n, other), -other)))

    def join_by_passage(self, group: Sequence[int]) -> None:
        """Joins namesakes passage by passage, the likeliest pairs first."""
        for passage in sorted({self._nodes[n].passage for n in group}):
            earlier = self.roots(n for n in group if self._nodes[n].passage < passage)
            here = [n for n in group if self._nodes[n].passage == passage]
            pairs = [(n, other) for n in here for other in earlier if self.may_join(n, other)]
            for n, other in sorted(pairs, key=lambda pair: self._likeness(*pair), reverse=True):
                if self.may_join(n, other):
                    self.join(n, other)

    def join_if_unique(self, group: Sequence[int]) -> None:
        """Joins things that share a name, as long as no two of them are known to be different."""
        roots = self.roots(group)
        if all(self.may_join(a, b) for a in roots for b in roots if a < b):
            for other in roots[1:]:
                self.join(roots[0], other)

    def join_short_forms(self, by_name: Mapping[str, Sequence[int]], full_names: Mapping[str, set[str]]) -> None:
        """Joins each short form's nodes to the one thing with a full name, if there is exactly one to choose."""
        for short, fulls in sorted(full_names.items()):
            targets = self.roots(m for full in sorted(fulls) for m in by_name[full])
            for n in by_name[short]:
                fitting = [m for m in targets if self.classes(m) and self.classes(n) and self.may_join(n, m)]
                if len(self.roots(targets)) == 1 and fitting:
                    self.join(n, fitting[0])

    def _likeness(self, a: int, b: int) -> tuple[int, int]:
        """How much the same is said of both, and how many classes they share."""
        a, b = self.root(a), self.root(b)
        shared = self._sayings[a] & self._sayings[b]
        return shared.total(), len(self._classes[a] & self._classes[b])


def _sayings(assembly: Assembly) -> list[Counter[tuple[str, ...]]]:
    """What is said of each node: predicate and role, and those with the other end."""
    sayings: list[Counter[tuple[str, ...]]] = [Counter() for _ in assembly.nodes]
    for fact in assembly.facts:
        other = fact.literal.lexical if fact.literal else folded_name(assembly.nodes[fact.object or 0].name)
        sayings[fact.subject].update([("of", fact.predicate), ("of", fact.predicate, other)])
        if fact.object is not None:
            subject = folded_name(assembly.nodes[fact.subject].name)
            sayings[fact.object].update([("to", fact.predicate), ("to", fact.predicate, subject)])
    return sayings


def _by_shared_mention(nodes: Sequence[Node]) -> Iterable[tuple[int, list[int]]]:
    """Each node with those of other passages that share a mention with it, the most shared first."""
    at: dict[Span, list[int]] = defaultdict(list)
    for n, node in enumerate(nodes):
        for mention in node.mentions:
            at[mention.span].append(n)
    for n, node in enumerate(nodes):
        shared = Counter(other for mention in node.mentions for other in at[mention.span] if other < n)
        others = [other for other, _ in shared.most_common() if nodes[other].passage != node.passage]
        if others:
            yield n, others


def _grouped(nodes: Sequence[Node], names: Callable[[Node], set[str]]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for n, node in enumerate(nodes):
        for name in names(node):
            groups[name].append(n)
    return dict(sorted(groups.items()))


def _proper_names(node: Node) -> set[str]:
    return {folded_name(name) for name in {node.name, *(m.text for m in node.mentions)} if is_proper(name)}


def _surnames(by_name: Mapping[str, Sequence[int]], clusters: _Clusters) -> dict[str, set[str]]:
    people = {name for name, nodes in by_name.items() if any(clusters.are_people(n) for n in nodes)}
    surnames: dict[str, set[str]] = defaultdict(set)
    for name in people:
        words = name.split()
        if len(words) > 1 and words[-1] in people:
            surnames[words[-1]].add(name)
    return surnames


def _acronyms(nodes: Sequence[Node], by_name: Mapping[str, Sequence[int]]) -> dict[str, set[str]]:
    short = {folded_name(node.name.replace(".", "")) for node in nodes if is_acronym(node.name)}
    long_forms: dict[str, set[str]] = defaultdict(set)
    for name in by_name:
        for initials in initials_of(name) & short & by_name.keys():
            long_forms[initials].add(name)
    return long_forms
