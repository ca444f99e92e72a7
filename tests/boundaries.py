"""Boundaries for tests: everything in this process, and no patience unless asked for."""

from knowledge.models.boundary import EndpointGuard, ModelBoundary
from resilience.gate import EndpointGate, GatePolicy
from resilience.limiter import RequestRate
from resilience.permits import InProcessPermits, Permits
from resilience.spending import SpendMeter


def boundary(
    permits: Permits | None = None,
    rate: RequestRate | None = None,
    policy: GatePolicy | None = None,
    spending: SpendMeter | None = None,
    timeout_seconds: float = 120.0,
) -> ModelBoundary:
    """A boundary of `scripted endpoint` whose callers leave at once when they would have to wait at its gate."""
    gate = EndpointGate(policy or GatePolicy(patience_seconds=0))
    guard = EndpointGuard(permits or InProcessPermits(4), rate or RequestRate(), gate, timeout_seconds)
    return ModelBoundary("scripted endpoint", guard, spending)
