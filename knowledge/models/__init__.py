"""Adapters of the model ports: OpenAI-compatible endpoints and the embedded models."""
