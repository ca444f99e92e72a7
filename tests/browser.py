"""A real Chromium for tests of pages: one of this machine's, or Playwright's own."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Playwright, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@dataclass(frozen=True, slots=True)
class OpenPage:
    """A page, and what it complained about: console errors, and exceptions that nobody caught."""

    page: Page
    complaints: list[str] = field(default_factory=list[str])


def find_chromium(playwright: Playwright) -> str | None:
    """Where a Chromium is: what KNOWLEDGE_TEST_CHROMIUM names, one on the path, or the one Playwright installed."""
    found = [os.environ.get("KNOWLEDGE_TEST_CHROMIUM"), *map(shutil.which, _NAMES), playwright.chromium.executable_path]
    return next((path for path in found if path and Path(path).exists()), None)


@contextmanager
def running_chromium() -> Generator[Browser | None]:
    """A headless Chromium; None on a machine without one. Nothing asynchronous may run meanwhile in this thread."""
    with sync_playwright() as playwright:
        program = find_chromium(playwright)
        if program is None:
            yield None
            return
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(
    browser: Browser, file: Path, *, width: int = 1280, height: int = 900, dark: bool = False
) -> Generator[OpenPage]:
    """The file in a window of its own."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    opened = OpenPage(context.new_page())

    def note(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            opened.complaints.append(message.text)

    def note_error(error: Error) -> None:
        opened.complaints.append(str(error))

    opened.page.on("console", note)
    opened.page.on("pageerror", note_error)
    try:
        opened.page.goto(file.as_uri())
        opened.page.wait_for_selector("html[data-ready]")
        yield opened
    finally:
        context.close()
