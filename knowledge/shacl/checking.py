"""What of a graph does not conform to SHACL shapes. pySHACL does the checking; it is the extra `shacl`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from knowledge.errors import ConfigurationError, InputRefused
from knowledge.exports import GraphExport, RdfFormat, export_rdf
from knowledge.ontology import Ontology
from knowledge.shacl.shapes import shapes_of

_SHACL = "http://www.w3.org/ns/shacl#"
_CURE = "install the `shacl` extra (pip install 'durable-knowledge[shacl]')"


@dataclass(frozen=True, slots=True)
class Finding:
    """A node that does not conform, and how: `severity` is Violation, Warning or Info; names are for people."""

    severity: str
    node: str
    name: str
    path: str | None
    value: str | None
    message: str


@dataclass(frozen=True, slots=True)
class ShapesReport:
    """All findings, the gravest first, and the report as SHACL defines it (Turtle). Warnings do not conform either."""

    conforms: bool
    findings: tuple[Finding, ...]
    turtle: str

    def as_json(self) -> dict[str, object]:
        """The object that `--json` gives."""
        return {"conforms": self.conforms, "findings": [asdict(finding) for finding in self.findings]}


def check_shapes(exports: Sequence[GraphExport], shapes: str | None = None) -> ShapesReport:
    """Checks the graphs' facts, together, against `shapes` (Turtle), or those made from their ontologies.

    The ontologies' subclasses count. Shapes can read no files or addresses, and run no scripts.

    Raises:
        ConfigurationError: pySHACL is not installed.
        InputRefused: the shapes are no SHACL in Turtle.
    """
    pyshacl, rdflib = _required("pyshacl"), _required("rdflib")
    ontologies = {export.ontology.digest: export.ontology for export in exports}.values()
    made = "\n".join(map(shapes_of, ontologies)) if shapes is None else shapes
    data = rdflib.Graph().parse(data=export_rdf(exports, RdfFormat.TURTLE), format="turtle")
    data += rdflib.Graph().parse(data="\n".join(map(_subclasses, ontologies)), format="turtle")
    try:
        wanted = rdflib.Graph().parse(data=made, format="turtle")
        conforms, found, said = pyshacl.validate(data, shacl_graph=wanted, inference="none", do_owl_imports=False)
    except Exception as error:
        # The two packages raise a dozen kinds, without a common base.
        raise InputRefused(f"these shapes are not SHACL in Turtle: {error}") from error
    if not isinstance(found, rdflib.Graph):
        raise InputRefused(f"these shapes cannot be checked: {said}")
    names = {str(entity.id): entity.label for export in exports for entity in export.graph.entities}
    findings = sorted(
        _findings(rdflib, found, names), key=lambda item: (_GRAVITY[item.severity], item.message, item.name)
    )
    return ShapesReport(bool(conforms), tuple(findings), str(found.serialize(format="turtle")))


def _subclasses(ontology: Ontology) -> str:
    return "\n".join(
        f"<{term.iri}> <http://www.w3.org/2000/01/rdf-schema#subClassOf> <{parent}> ."
        for term in ontology.classes
        for parent in term.parents
    )


_GRAVITY = {"Violation": 0, "Warning": 1, "Info": 2}


def _required(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"checking shapes needs the package {module!r}: {_CURE}") from error


def _findings(rdflib: Any, report: Any, names: Mapping[str, str]) -> Iterator[Finding]:
    terms = rdflib.Namespace(_SHACL)
    for result in report.objects(None, terms.result):
        node = str(report.value(result, terms.focusNode))
        path, value = report.value(result, terms.resultPath), report.value(result, terms.value)
        yield Finding(
            severity=str(report.value(result, terms.resultSeverity)).removeprefix(_SHACL),
            node=node,
            name=_name(node, names),
            path=None if path is None else str(path),
            value=None if value is None else _name(str(value), names),
            message=str(report.value(result, terms.resultMessage) or ""),
        )


def _name(iri: str, names: Mapping[str, str]) -> str:
    """What people call the entity of this IRI, which ends with its id."""
    return names.get(iri.rpartition(":")[2].rpartition("/")[2], iri)
