"""Takes docs/page.png: the page on an example whose answers start with a line end. `python docs/screenshot.py`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import Page, chromium_path, launch_chromium, running_app  # noqa: E402

EXAMPLE = ROOT / "examples" / "02-answer-starts-with-a-line-end.json"


def main() -> None:
    """Open the app, show the example, point at the merged token."""
    from playwright.sync_api import sync_playwright

    with running_app() as address, sync_playwright() as playwright:
        browser = launch_chromium(playwright, chromium_path())
        page = Page(browser.new_page(viewport={"width": 1400, "height": 1230}), address)
        page.open()
        page.set_json(EXAMPLE.read_text(encoding="utf-8"))
        page.tab.get_by_role("tab", name="Messages").click()
        page.tab.focus(".tv-body")
        page.tab.keyboard.press("s")
        page.tab.mouse.move(0, 0)
        page.tab.wait_for_timeout(300)
        page.tab.screenshot(path=ROOT / "docs" / "page.png")
        browser.close()


if __name__ == "__main__":
    main()
