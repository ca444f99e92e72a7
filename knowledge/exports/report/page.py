"""The page itself: HTML, styles, scripts and data in one file that loads nothing and runs nothing but its own.

Nothing that comes from documents, models or ontologies is ever markup or script: it is all in one block of JSON, and
the scripts put it on the page as text. The page's content security policy allows its own scripts and styles by
their digests, and nothing else.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

from knowledge.exports.report.data import page_data
from knowledge.exports.report.report import Report

_ROOM = files("knowledge.exports.report")
_VENDORED = ("cytoscape.min.js", "d3-dispatch.min.js", "d3-quadtree.min.js", "d3-timer.min.js", "d3-force.min.js")
_SCRIPTS = (
    "model.js",
    "elements.js",
    "layout.js",
    "drawing.js",
    "passage.js",
    "entities.js",
    "lists.js",
    "history.js",
    "main.js",
)
_PLACE = re.compile(r"<!--\{(\w+)\}-->")
# In JSON, `<` could begin an end tag or a comment, and the two separators end lines in older JavaScript. A lone
# surrogate is no UTF-8.
_UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def report_html(report: Report) -> str:
    """The report as one self-contained HTML document; equal reports are equal texts."""
    styles = [_read(_ROOM / "page" / "report.css"), _style_of_cytoscape()]
    scripts = [_read(_ROOM / "vendor" / name) for name in _VENDORED]
    scripts += [_read(_ROOM / "page" / name) for name in _SCRIPTS]
    parts = {
        "policy": html.escape(_policy(scripts, styles)),
        "title": html.escape(report.title),
        "licences": html.escape(_read(_ROOM / "vendor" / "LICENSES.txt")),
        "styles": f'<style>{styles[0]}</style>\n<style id="{_CYTOSCAPE_STYLE_ID}">{styles[1]}</style>',
        "data": _json(page_data(report)),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    return _PLACE.sub(lambda place: parts[place[1]], _read(_ROOM / "page" / "report.html"))


def _policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_digest, scripts))}",
            f"style-src {' '.join(map(_digest, styles))}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


# Cytoscape adds this style element unless there is one with its id, and the policy would refuse it.
_CYTOSCAPE_STYLE_ID = "__________cytoscape_stylesheet"


def _style_of_cytoscape() -> str:
    return ".__________cytoscape_container { position: relative; }"


def _json(data: object) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda unsafe: f"\\u{ord(unsafe[0]):04x}", text)


def _read(file: Traversable) -> str:
    """The file with `\\n` as line end on every platform: the digests are of what the browser sees."""
    return file.read_text(encoding="utf-8").replace("\r\n", "\n")
