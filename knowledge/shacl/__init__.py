"""SHACL: shapes made from an ontology, or given, and what of a graph does not conform to them."""

from knowledge.shacl.checking import Finding, ShapesReport, check_shapes
from knowledge.shacl.shapes import shapes_of

__all__ = ["Finding", "ShapesReport", "check_shapes", "shapes_of"]
