"""PostgreSQL: organisation-scoped tables under row-level security, and the only way to open a session on them."""
