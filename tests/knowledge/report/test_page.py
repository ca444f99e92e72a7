"""The page as a file: what is in it, and that nothing in it can get out of its place."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from knowledge.domain import Span
from knowledge.exports.report import Report, report_html
from knowledge.exports.report.data import page_data
from knowledge.exports.report.offsets import CodeUnits
from tests.reports import NOON, export_of, ordinary_report, run_of

_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


def _in_utf16(text: str, span: tuple[int, int]) -> str:
    """What JavaScript's `slice` gives."""
    return text.encode("utf-16-le")[2 * span[0] : 2 * span[1]].decode("utf-16-le")


def test_equal_reports_are_equal_pages() -> None:
    """A page can be compared, cached and signed."""
    assert report_html(ordinary_report()) == report_html(ordinary_report())


def test_the_page_loads_nothing() -> None:
    """It can be opened without a network, and tells nobody that it is."""
    markup = _DATA.sub("", re.sub(r"<script>.*?</script>", "", report_html(ordinary_report()), flags=re.DOTALL))
    assert re.findall(r"""(?:src|href)=["'](?!#|data:,)[^"']*""", markup) == []
    assert "@import" not in markup
    assert "url(" not in markup


def test_data_survive_their_place_in_html() -> None:
    """Whatever a text holds, the block ends where it should and reads back as it was: also what no UTF-8 can hold."""
    nasty = "</script><!-- <script> \u2028\u2029 & > \x00 \r\n \ud83d \U0001f600 \\u003c"
    html = report_html(replace(ordinary_report(), title=nasty))
    html.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")
    blocks = _DATA.findall(html)
    assert len(blocks) == 1
    assert not set("<>&\u2028\u2029") & set(blocks[0])
    assert json.loads(blocks[0])["title"] == nasty


def test_placeholders_in_texts_stay_what_they_are() -> None:
    """A document about this page must not be filled in."""
    html = report_html(replace(ordinary_report(), title="<!--{policy}-->"))
    assert json.loads(_DATA.findall(html)[0])["title"] == "<!--{policy}-->"
    assert "<title>&lt;!--{policy}--&gt;</title>" in html


def test_spans_are_told_in_the_units_of_javascript() -> None:
    """Code points past U+FFFF are two units; a span before, over and after them is right."""
    text = "a\U0001f600b\U0001f680\U0001f680c"
    units = CodeUnits(text)
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            assert _in_utf16(text, units.span(Span(start, end))) == text[start:end]
    assert CodeUnits("plain").span(Span(1, 3)) == (1, 3)


def test_evidence_and_mentions_are_where_the_document_says_them() -> None:
    """The texts are cut by the page from the document that is in it."""
    export = export_of()
    data = page_data(Report("x", (run_of(export),), (), NOON))
    facts = {fact["id"]: fact for fact in cast("list[dict[str, Any]]", data["facts"])}
    for relation in export.graph.relations:
        said = [_in_utf16(export.document.text, found["span"]) for found in facts[relation.id]["evidence"]]
        assert said == [evidence.text for evidence in relation.evidence]


def test_two_runs_of_one_extraction_show_its_graph_once() -> None:
    """They published the same rows; both have their history."""
    export = export_of()
    later = run_of(export)
    later = replace(later, state=replace(later.state, ended_at=NOON + timedelta(hours=1)))
    data = page_data(Report("x", (run_of(export), later), (), NOON))
    found = {name: len(cast("list[object]", data[name])) for name in ("runs", "documents", "facts")}
    assert found == {"runs": 2, "documents": 1, "facts": 4}
