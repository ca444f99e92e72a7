"""Ontology files: which format a file has, whether it can be read, and where it is wrong if not."""

import io
import re
from pathlib import PurePath
from xml.parsers import expat

from pyoxigraph import NamedNode, Quad, RdfFormat, parse

from knowledge.errors import OntologyRefused
from knowledge.ontology.model import Ontology
from knowledge.ontology.reading import read_ontology
from knowledge.ontology.triples import Triples
from knowledge.ontology.xml_entities import expansion_limit_exceeded

_FORMATS = {
    ".rdf": RdfFormat.RDF_XML,
    ".owl": RdfFormat.RDF_XML,
    ".xml": RdfFormat.RDF_XML,
    ".jsonld": RdfFormat.JSON_LD,
    ".json": RdfFormat.JSON_LD,
    ".nt": RdfFormat.N_TRIPLES,
}
_XML = re.compile(r"\s*<(\?xml|!DOCTYPE|!--|([\w.-]+:)?RDF\b|Ontology\b)")
_JSON = re.compile(r"\s*(\{|\[\s*[\]{])")
_OWL_XML = re.compile(r"\s*(<\?[^>]*>|<!--.*?-->|<!DOCTYPE[^\[>]*(\[.*?\])?\s*>|\s)*<([\w.-]+:)?Ontology\b", re.DOTALL)
_XML_ENCODING = re.compile(r"""\s*<\?xml[^>]*?encoding\s*=\s*["']([^"']+)["']""")
_PLACE = re.compile(r"^Parser error at line \d+ (column \d+|between .*?): ", re.DOTALL)
# Relative IRIs need a base, and a file's own name or path must not get into what it means.
_BASE_IRI = "urn:knowledge:ontology/"


def load_ontology(data: bytes, name: str, *, max_bytes: int | None = None) -> Ontology:
    """The ontology in a file's bytes: Turtle, RDF/XML, N-Triples or JSON-LD, in UTF-8.

    `name` is the file's name: its suffix tells the format unless the content plainly is of another one.

    Raises:
        OntologyRefused: the file is too long, empty, wrongly encoded, does not parse, or has no classes. The
            message names file, place (line and column, from 1) and cure.
    """
    if max_bytes is not None and len(data) > max_bytes:
        raise OntologyRefused(
            name, f"is {len(data):,} bytes long and the limit is {max_bytes:,}; split it or raise the limit"
        )
    text = _decoded(data, name)
    ontology = read_ontology(Triples(_parsed(text, name)), PurePath(name).stem)
    if not ontology.classes:
        raise OntologyRefused(
            name, "declares no classes; declare what can be found, e.g. `ex:Person a owl:Class` in Turtle"
        )
    return ontology


def ontology_quads(data: bytes, name: str) -> list[Quad]:
    """All that the file says, as it says it.

    Raises:
        OntologyRefused: as `load_ontology`, but for the classes that it may lack.
    """
    return _parsed(_decoded(data, name), name)


def _decoded(data: bytes, name: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise OntologyRefused(name, "is in UTF-16; save it as UTF-8", line=1, column=1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        problem = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise OntologyRefused(name, problem, **_place(before)) from error
    if "\0" in text:
        raise OntologyRefused(
            name, "is not a text file; give Turtle, RDF/XML, N-Triples or JSON-LD", **_place(text[: text.index("\0")])
        )
    if not text.strip():
        raise OntologyRefused(name, "is empty; it must declare classes, and properties between them")
    return text


def _format_of(text: str, name: str) -> RdfFormat:
    by_suffix = _FORMATS.get(PurePath(name).suffix.lower(), RdfFormat.TURTLE)
    if _XML.match(text):
        return RdfFormat.RDF_XML
    if _JSON.match(text):
        return RdfFormat.JSON_LD
    return by_suffix if by_suffix == RdfFormat.N_TRIPLES else RdfFormat.TURTLE


def _parsed(text: str, name: str) -> list[Quad]:
    form = _format_of(text, name)
    if form == RdfFormat.RDF_XML:
        text = _checked_xml(text, name)
    try:
        return list(parse(text, format=form, base_iri=_BASE_IRI))
    except SyntaxError as error:
        return _parsed_leniently(text, name, form, error)


def _parsed_leniently(text: str, name: str, form: RdfFormat, error: SyntaxError) -> list[Quad]:
    """The triples, when all that is wrong with them are language tags or IRIs that no term bears."""
    try:
        quads = list(parse(text, format=form, base_iri=_BASE_IRI, lenient=True))
    except SyntaxError as worse:
        raise _refusal(text, name, form, worse) from worse
    sound = [quad for quad in quads if _is_sound(quad.object)]
    if not all(_is_sound(term) for quad in sound for term in (quad.subject, quad.predicate)):
        raise _refusal(text, name, form, error) from error
    return sound


def _is_sound(term: object) -> bool:
    if not isinstance(term, NamedNode):
        return True
    try:
        NamedNode(term.value)
    except ValueError:
        return False
    return True


def _checked_xml(text: str, name: str) -> str:
    """The text, once known to be whole XML of the right kind: the RDF parser takes a cut-off file for a whole one."""
    encoding = _XML_ENCODING.match(text)
    if encoding and encoding[1].lower() not in {"utf-8", "utf8", "us-ascii", "ascii"}:
        raise OntologyRefused(name, f"says that it is in {encoding[1]}; save it as UTF-8 and say so", line=1, column=1)
    if _OWL_XML.match(text):
        raise OntologyRefused(name, "is in OWL/XML; save it as Turtle or RDF/XML", line=1, column=1)
    if entity := expansion_limit_exceeded(text):
        problem = f"the entity &{entity}; grows too long when it is put in; write it out where it is used"
        raise OntologyRefused(name, problem, **_place(text[: max(0, text.find(entity))]))
    try:
        expat.ParserCreate("utf-8").Parse(text.encode(), True)
    except expat.ExpatError as error:
        problem = f"is not well-formed XML ({expat.ErrorString(error.code)}); mend it there"
        raise OntologyRefused(name, problem, line=error.lineno, column=error.offset + 1) from error
    return text


def _refusal(text: str, name: str, form: RdfFormat, error: SyntaxError) -> OntologyRefused:
    problem = _PLACE.sub("", error.msg or str(error)).rstrip(".")
    cure = f"mend it there, or give the file the suffix of its format if it is not {form.name}"
    if "LoadDocumentCallback" in problem:
        problem, cure = "its @context is a link, which is not followed", "write the context into the file"
    line = error.lineno if error.lineno is not None else _line_of_error(text, form)
    return OntologyRefused(name, f"{problem}; {cure}", line=line, column=error.offset)


def _line_of_error(text: str, form: RdfFormat) -> int | None:
    """The line in which the parser gives up, for the errors that do not say: most of those above plain syntax."""
    lines = _LineByLine(text.encode())
    try:
        for _ in parse(lines, format=form, base_iri=_BASE_IRI):
            pass
    except SyntaxError:
        return lines.begun
    return None


class _LineByLine(io.BytesIO):
    """Hands out no more than one line at a time, and so knows how far its reader is."""

    begun = 1
    _at_line_end = False

    def read(self, size: int | None = -1, /) -> bytes:
        piece = self.readline(-1 if size is None else size)
        self.begun += bool(self._at_line_end and piece)
        self._at_line_end = piece.endswith(b"\n")
        return piece


def _place(before: str) -> dict[str, int]:
    """Line and column, from 1, of what follows `before`."""
    return {"line": before.count("\n") + 1, "column": len(before) - before.rfind("\n")}
