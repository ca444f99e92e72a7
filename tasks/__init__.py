"""The stages as durable Prefect tasks: content-addressed cache keys and results kept in PostgreSQL."""
