"""Graphs as files: JSON lines for programs, RDF with PROV-O for everybody else. Equal graphs give equal bytes."""

from knowledge.exports.graph_export import GraphExport
from knowledge.exports.lines import export_jsonl, mentions_jsonl
from knowledge.exports.rdf import RdfFormat, export_rdf, write_rdf

__all__ = ["GraphExport", "RdfFormat", "export_jsonl", "export_rdf", "mentions_jsonl", "write_rdf"]
