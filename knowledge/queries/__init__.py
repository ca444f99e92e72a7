"""SPARQL over an organisation's graph: read-only, bounded in time and size, with what an ontology implies if wanted."""
