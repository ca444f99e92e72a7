"""The report in a real Chromium: what people can find, read and reach, and what hostile documents cannot do."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from knowledge.domain import ActivityStatus, ExecutionStatus
from knowledge.exports.report import LeftOut, Report, report_html
from knowledge.ontology import load_ontology
from tests.browser import OpenPage, open_page, running_chromium
from tests.reports import NOON, Said, attempt, export_of, large_report, ordinary_report, run_of


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all tests here."""
    with running_chromium() as browser:
        if browser is None:
            pytest.skip("no Chromium on this machine: install one, or name it in KNOWLEDGE_TEST_CHROMIUM")
        yield browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ordinary report."""
    return _saved(ordinary_report(), tmp_path_factory.mktemp("report"))


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[OpenPage]:
    """The ordinary report in a window; it must not complain about anything."""
    with open_page(browser, file) as opened:
        yield opened
        assert opened.complaints == []


def _saved(report: Report, directory: Path) -> Path:
    path = directory / "report.html"
    path.write_text(report_html(report), encoding="utf-8")
    return path


def test_a_searched_entity_shows_its_facts_and_each_fact_its_sentence(opened: OpenPage) -> None:
    """The way from a name to the words that bear it out is what the report is for."""
    page = opened.page
    page.get_by_label("Search").first.fill("BRANDT ada")
    page.keyboard.press("Enter")
    card = page.locator("#entity")
    expect(card.get_by_role("heading", level=3)).to_have_text("Ada Brandt")
    card.get_by_role("button", name="Ada Brandt born in Oslo").click()
    expect(card.locator("mark")).to_have_text("Ada Brandt was born in Oslo.")


def test_evidence_after_characters_outside_the_basic_plane_is_marked_exactly(opened: OpenPage) -> None:
    """Spans are code points and JavaScript counts UTF-16: off by one for each emoji before it, else."""
    page = opened.page
    page.locator("#fact-list").get_by_role("button", name="Per Holm knows Ada Brandt").click()
    expect(page.locator("#fact-list mark")).to_have_text("Per Holm \U0001f9ed knew \U0001d504da Brandt.")
    page.locator("#fact-list").get_by_role("button", name="Show in brandt").click()
    expect(page.locator("dialog mark")).to_have_text("Per Holm \U0001f9ed knew \U0001d504da Brandt.")
    assert page.locator("#document-text").text_content() == export_of().document.text


def test_what_is_not_sure_enough_goes_from_lists_and_drawing(opened: OpenPage) -> None:
    """One slider for all parts of the page."""
    page = opened.page
    expect(page.locator("#facts-found")).to_have_text("5 facts")
    page.get_by_label("Confidence from").fill("0.7")
    expect(page.locator("#facts-found")).to_have_text("3 facts")
    page.locator("#entities button", has_text="Oslo").first.click()
    expect(page.locator("#entity")).to_contain_text("1 less sure than 70 % not shown")


def test_flagged_unmapped_and_linked_things_can_be_told_apart(opened: OpenPage) -> None:
    """What is doubtful is to be seen as such."""
    page = opened.page
    page.locator("#fact-kind").select_option("flagged")
    expect(page.locator("#fact-list .fact")).to_have_count(1)
    expect(page.locator("#fact-list .fact")).to_contain_text("outside domain")
    expect(page.locator("#left-out-found")).to_have_text("2 parts")
    page.locator("#left-out-kind").select_option("unmapped")
    expect(page.locator("#left-out-list li")).to_have_count(1)
    expect(page.locator("#left-out-list li")).to_contain_text("Ada Brandt painted a boat")
    expect(page.locator("#left-out-list li")).to_contain_text("(brandt, chunk 1)")
    expect(page.locator("#link-list li")).to_contain_text("both are called Ada Brandt")
    expect(page.locator("#runs .events").first).to_contain_text(
        "mentions: an attempt failed (1 tried again): 503: busy"
    )


def test_everything_can_be_reached_by_keyboard(opened: OpenPage) -> None:
    """From the search with the arrow keys into the list, and back; focus can be seen; the dialog closes with Escape."""
    page = opened.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the graph")).to_be_focused()
    page.get_by_label("Search").first.focus()
    page.keyboard.type("holm")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#entity h3")).to_have_text("Per Holm")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Search").first).to_be_focused()
    page.locator("#entity").get_by_role("button", name="1 mention in brandt").press("Enter")
    expect(page.locator("dialog mark")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()


def test_an_address_leads_to_an_entity(browser: Browser, file: Path, opened: OpenPage) -> None:
    """What somebody looks at can be sent to somebody else."""
    opened.page.locator("#entities button", has_text="Per Holm").click()
    assert "#ent_" in opened.page.url
    opened.page.reload()
    expect(opened.page.locator("#entity h3")).to_have_text("Per Holm")


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_it_fits_a_phone_and_can_be_read_in_the_dark_and_by_machines(
    browser: Browser, file: Path, width: int, dark: bool
) -> None:
    """Nothing sticks out sideways; contrasts, names and roles are as WCAG wants them (axe)."""
    with open_page(browser, file, width=width, height=844, dark=dark) as opened:
        page = opened.page
        page.locator("#entities button").first.click()
        page.locator("#entity .fact").first.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(20, 23, 26)") is dark
        # The page's policy refuses scripts put in from outside, as it should; axe comes in by the debugger.
        found = json.loads(page.evaluate(f"{Axe().axe_script}; axe.run().then(r => JSON.stringify(r.violations))"))
        assert [(item["id"], item["nodes"][0]["html"]) for item in found] == []
        assert opened.complaints == []


HOSTILE = (
    '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=2"><!--\u2028\u2029'
    "'\"`${window.hacked=3}"
)
HOSTILE_ONTOLOGY = b"""
@prefix owl: <http://www.w3.org/2002/07/owl#> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
<javascript:window.hacked=4> a owl:ObjectProperty ; rdfs:label "<b onclick='window.hacked=5'>made</b>" .
<data:text/html,x> a owl:Class ; rdfs:label "</title><script>window.hacked=6</script>" .
"""


def _hostile_report() -> Report:
    said = Said(HOSTILE, "javascript:window.hacked=4", f"other {HOSTILE}", f"It says {HOSTILE} here.", flags=(HOSTILE,))
    ontology = load_ontology(HOSTILE_ONTOLOGY, "hostile.ttl")
    classes = ("data:text/html,x", "JavaScript:window.hacked=7")
    facts = (said, replace(said, subject=f"third {HOSTILE}"))
    export = export_of(facts, name=HOSTILE, classes=classes, ontology=ontology)
    failed = attempt(status=ActivityStatus.FAILED, error=HOSTILE)
    left_out = (LeftOut(HOSTILE, HOSTILE, 0),)
    run = run_of(
        export, attempts=(failed,), left_out=left_out, status=ExecutionStatus.FAILED, error=HOSTILE, name=HOSTILE
    )
    return Report(HOSTILE, (run,), (), NOON)


def test_documents_names_and_iris_never_run_and_never_become_links(browser: Browser, tmp_path: Path) -> None:
    """Whoever writes a document must not get a script into the reader's browser."""
    with open_page(browser, _saved(_hostile_report(), tmp_path)) as opened:
        page = opened.page
        for button in page.locator("#entities button").all():
            button.click()
            for fact in page.locator("#entity .fact").all():
                fact.click()
        page.locator("#entity .evidence button").first.click()
        assert page.evaluate("window.hacked") is None
        assert page.locator("img, main script, [onclick], b").count() == 0
        assert page.locator("a:not([href^='#'])").count() == 0
        assert page.title() == HOSTILE
        expect(page.locator("h1")).to_have_text(HOSTILE)
        assert HOSTILE in (page.locator("#document-text").text_content() or "")
        assert opened.complaints == []


def test_the_pages_policy_stops_what_is_not_its_own(browser: Browser, file: Path) -> None:
    """Were a text to become markup after all, it would still not run, nor load anything."""
    with open_page(browser, file) as opened:
        opened.page.evaluate(
            """document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.hacked=1'>");
            document.body.append(Object.assign(document.createElement("script"), {textContent: "window.hacked=2"}))"""
        )
        opened.page.evaluate("new Promise((done) => setTimeout(done, 50))")
        assert opened.page.evaluate("window.hacked") is None
        assert any("Content Security Policy" in complaint for complaint in opened.complaints)


def test_a_failed_run_without_a_graph_has_a_page(browser: Browser, tmp_path: Path) -> None:
    """Just then somebody wants to know what happened."""
    run = run_of(None, status=ExecutionStatus.FAILED, error="the document is empty")
    with open_page(browser, _saved(Report("What nothing says", (run,), (), NOON), tmp_path)) as opened:
        expect(opened.page.locator("#runs")).to_contain_text("the document is empty")
        expect(opened.page.locator("#entity")).to_contain_text("There are no entities.")
        assert opened.complaints == []


def test_a_large_graph_opens_and_answers_at_once(browser: Browser, tmp_path: Path) -> None:
    """Two thousand entities: bounds that even a busy machine keeps; `benchmarks/report.py` has the figures."""
    with open_page(browser, _saved(large_report(2000), tmp_path)) as opened:
        page = opened.page
        assert page.evaluate("performance.now()") < 15_000
        took = page.evaluate(
            """() => { const box = document.getElementById("search"); const begun = performance.now();
            box.value = "brandt 19"; box.dispatchEvent(new Event("input")); return performance.now() - begun; }"""
        )
        assert took < 1000
        expect(page.locator("#entities button").first).to_contain_text("Brandt 19")
        assert page.evaluate("document.querySelectorAll('#graph canvas').length") == 3
        assert opened.complaints == []
