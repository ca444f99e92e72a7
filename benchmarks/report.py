"""How quickly the report of a large graph opens and answers, in a headless Chromium of this machine.

    python -m benchmarks.report --json

The last line of `--json` is `{"nodes", "facts", "megabytes", "export_seconds", "open_seconds", "settled_seconds",
"search_ms": {"median", "p95", "max"}, "select_ms": {…}, "filter_ms", "console_errors"}`. Times are those of the page:
`open_seconds` from navigation until it can be used, `settled_seconds` until the layout has come to rest, `search_ms`
from a keystroke until what is found has been painted.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Page

from knowledge.exports.report import report_html
from tests.browser import open_page, running_chromium
from tests.reports import large_report

_QUERIES = ("a", "ad", "ada", "ada b", "ada brandt", "ada brandt 1", "curie", "ø", "dvorak 9", "nobody at all", "")
_ROUNDS = 5
_PAINTED = """
(act) => new Promise((done) => {
  const begun = performance.now();
  act();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
})
"""
_SEARCH = f"""
(text) => ({_PAINTED})(() => {{
  const box = document.getElementById("search");
  box.value = text;
  box.dispatchEvent(new Event("input"));
}})
"""
_SELECT = f"""
(n) => ({_PAINTED})(() => document.querySelectorAll("#entities button")[n].click())
"""
_FILTER = f"""
(share) => ({_PAINTED})(() => {{
  const slider = document.getElementById("confidence");
  slider.value = share;
  slider.dispatchEvent(new Event("input"));
}})
"""


def main() -> None:
    """Measures and prints."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--nodes", type=int, default=2000)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    measured = measure(given.nodes)
    if not given.json:
        for name, value in measured.items():
            print(f"{name:16} {value}")
    print(json.dumps(measured))


def measure(nodes: int) -> dict[str, object]:
    """The figures for a graph of so many entities."""
    report = large_report(nodes)
    export = report.runs[0].export
    assert export is not None
    begun = time.perf_counter()
    html = report_html(report)
    exported = time.perf_counter() - begun
    with tempfile.TemporaryDirectory() as directory, running_chromium() as browser:
        if browser is None:
            sys.exit("no Chromium on this machine: install one, or name it in KNOWLEDGE_TEST_CHROMIUM")
        file = Path(directory) / "report.html"
        file.write_text(html, encoding="utf-8")
        with open_page(browser, file) as opened:
            ready = _since_navigation(opened.page, "ready")
            searches = _searches(opened.page)
            opened.page.wait_for_selector("html[data-settled]", timeout=120_000)
            return {
                "nodes": nodes,
                "facts": len(export.graph.relations),
                "megabytes": round(len(html.encode()) / 1e6, 2),
                "export_seconds": round(exported, 3),
                "open_seconds": ready,
                "settled_seconds": _since_navigation(opened.page, "settled"),
                "search_ms": _summary(searches),
                "search_settled_ms": _summary(_searches(opened.page)),
                "select_ms": _summary([opened.page.evaluate(_SELECT, n) for n in range(10)]),
                "filter_ms": _summary([opened.page.evaluate(_FILTER, share) for share in (0.5, 0.7, 0.9, 0)]),
                "console_errors": len(opened.complaints),
            }


def _since_navigation(page: Page, mark: str) -> float:
    milliseconds = page.evaluate("(mark) => performance.getEntriesByName(mark)[0].startTime", mark)
    return round(milliseconds / 1000, 3)


def _searches(page: Page) -> list[float]:
    return [page.evaluate(_SEARCH, query) for _ in range(_ROUNDS) for query in _QUERIES]


def _summary(times: list[float]) -> dict[str, float]:
    ranked = sorted(times)
    p95 = ranked[min(len(ranked) - 1, int(0.95 * len(ranked)))]
    return {"median": round(median(ranked), 1), "p95": round(p95, 1), "max": round(ranked[-1], 1)}


if __name__ == "__main__":
    main()
