"""Answers: sentences that the graph backs, each with citations that have been opened, or "not in the graph"."""
