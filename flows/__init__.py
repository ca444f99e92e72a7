"""Prefect flows, and only they: parameters in, summary out."""
