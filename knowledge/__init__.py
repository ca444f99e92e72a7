"""The knowledge slice: documents and an ontology in, an evidenced graph out. Free of Prefect and of the tables."""
