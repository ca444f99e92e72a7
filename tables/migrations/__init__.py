"""The history of the database's schema; `tables.schema` runs it."""
