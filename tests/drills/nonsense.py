"""The nonsense drill: a share of all answers is none, in every way models and proxies know (see `nonsense_answers`)."""

from collections import Counter
from dataclasses import dataclass

from knowledge.domain import KnowledgeGraph
from knowledge.errors import NotFound
from tables.graph_store import load_graph
from tests.drills.faults import ENDPOINTS, FaultKind, FaultPlan
from tests.drills.fleet import Fleet, Tell
from tests.drills.report import FleetReport, fleet_findings, fleet_goals
from tests.drills.submission import Run

_END_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class NonsensePlan:
    """Which share of the answers is nonsense, and how often in a row for the same question (0: any number)."""

    share: float = 0.2
    most_in_a_row: int = 1
    seed: int = 1


def run_nonsense(plan: NonsensePlan, fleet: Fleet, tell: Tell) -> FleetReport:
    """What became of the fleet's documents, what was asked again, and what is in the graphs that should not be."""
    fault = FaultPlan(FaultKind.NONSENSE, ENDPOINTS, plan.share, plan.seed, most_in_a_row=plan.most_in_a_row)
    fleet.endpoint.begin(fault)
    try:
        tell(f"{plan.share:.0%} of the answers are nonsense")
        runs = fleet.submit("nonsense")
        states = fleet.wait_for_ends(runs, _END_SECONDS)
    finally:
        fleet.endpoint.end()
    rows, calls = fleet.rows(runs, states, are_answers_sound=False), fleet.calls_of(runs)
    kinds = Counter(call.nonsense for call in calls if call.nonsense is not None)
    false = [fact for run in runs for fact in _false_facts(run)]
    findings = {
        "drill": "nonsense",
        "share": plan.share,
        "most_in_a_row": plan.most_in_a_row,
        "seed": plan.seed,
        "workers": fleet.plan.workers,
        "nonsense_answers": kinds.total(),
        "nonsense_kinds": dict(sorted(kinds.items())),
        "asked_again": len(calls) - len({call.digest for call in calls}),
        "false_facts": len(false),
        "shown_false_facts": false[:10],
        **fleet_findings(rows, calls),
    }
    goals = {
        "something was nonsense": bool(kinds),
        "nothing false in the graphs": not false,
        **fleet_goals(rows, calls, fleet.plan.worker_names),
    }
    return FleetReport(findings, goals, rows)


def _false_facts(run: Run) -> list[str]:
    """What the stored graph says and the undisturbed one does not, in words."""
    graph = run.reference.graph
    try:
        stored = load_graph(run.stack.database, run.job.organization_id, graph.extraction_id)
    except NotFound:
        return []
    return sorted(_facts(stored) - _facts(graph))


def _facts(graph: KnowledgeGraph) -> frozenset[str]:
    labels = {entity.id: entity.label for entity in graph.entities}
    entities = {f"{entity.label} is {cls}" for entity in graph.entities for cls in entity.classes}
    relations = {
        f"{labels[relation.subject_id]} {relation.predicate} "
        f"{labels[relation.object_id] if relation.object_id is not None else relation.literal}"
        for relation in graph.relations
    }
    mentions = {f"{labels[mention.entity_id]} at {mention.span}" for mention in graph.mentions}
    vectors = {f"{labels[vector.entity_id]} has the vector {vector.vector}" for vector in graph.embeddings}
    return frozenset(entities | relations | mentions | vectors)
