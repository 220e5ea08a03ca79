"""Takes the README's pictures: an answer that starts with a line end, and an audit. `python docs/screenshot.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import DataPage, chromium_path, launch_chromium, running_app  # noqa: E402

EXAMPLE = ROOT / "examples" / "02-answer-starts-with-a-line-end.json"


def main() -> None:
    """Open the app and photograph both tabs."""
    from playwright.sync_api import sync_playwright

    with running_app() as address, sync_playwright() as playwright:
        browser = launch_chromium(playwright, chromium_path())
        take_inspect(browser, address)
        take_data(browser, address)
        browser.close()


def take_inspect(browser: Any, address: str) -> None:
    """Show the example and point at the merged token."""
    page = DataPage(browser.new_page(viewport={"width": 1400, "height": 1280}), address)
    page.open()
    page.set_json(EXAMPLE.read_text(encoding="utf-8"))
    page.tab.get_by_role("tab", name="Messages").click()
    page.tab.focus(".tv-body")
    page.tab.keyboard.press("s")
    take(page, "page.png")


def take_data(browser: Any, address: str) -> None:
    """Audit rows some of which merge."""
    page = DataPage(browser.new_page(viewport={"width": 1400, "height": 1160}), address)
    page.open()
    page.open_data()
    page.choose_example("merged-boundaries.jsonl")
    page.run()
    page.tab.wait_for_selector("#data-found .main-svg")
    page.tab.evaluate("document.activeElement.blur()")
    take(page, "data.png")


def take(page: DataPage, name: str) -> None:
    """Save what is seen, once nothing moves any more."""
    page.tab.mouse.move(0, 0)
    page.tab.wait_for_timeout(500)
    page.tab.screenshot(path=ROOT / "docs" / name)


if __name__ == "__main__":
    main()
