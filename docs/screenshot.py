"""Takes the pictures of the documents from the app itself: `make shots`, or `python docs/screenshot.py [FOLDER]`.

With a folder every tab and state is photographed into it as well, at three widths, light and dark.
"""

from __future__ import annotations

import os
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.browser import DataPage, chromium_path, launch_chromium, running_app  # noqa: E402

EXAMPLE = ROOT / "examples" / "02-answer-starts-with-a-line-end.json"
RUN = "brief answers dpo"
NOTEBOOK_STYLE = """<style>body { font: 15px sans-serif; margin: 24px; max-width: 900px; }
pre { background: #f4f4f4; padding: 10px; font-size: 13px; white-space: pre-wrap; }</style>"""
SETTLED_MS = 1_500
"""After which nothing slides or fades any more."""


def main() -> None:
    """Open the app with a folder for runs of its own, and photograph it."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as runs:
        os.environ["MASKSCOPE_RUNS"] = runs
        with running_app() as address, sync_playwright() as playwright:
            browser = launch_chromium(playwright, chromium_path())
            take_inspect(browser, address)
            take_data(browser, address)
            take_train(browser, address)
            take_notebook(browser)
            if len(sys.argv) > 1:
                take_all(browser, address, Path(sys.argv[1]))
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
    page.tab.wait_for_selector("#data-findings .fv-table")
    page.tab.evaluate("document.activeElement.blur()")
    take(page, "data.png")


def take_train(browser: Any, address: str) -> None:
    """Train the example of DPO, and show its rows."""
    page = DataPage(browser.new_page(viewport={"width": 1400, "height": 1400}), address)
    page.open()
    page.tab.get_by_role("tab", name="Train", exact=True).click()
    page.tab.click("#train-example input")
    page.tab.get_by_role("option", name=RUN).click()
    page.tab.wait_for_function("() => document.querySelector('#train-set-method input').value === 'dpo'")
    page.tab.click("#train-start")
    ended = "() => document.querySelector('#train-state')?.innerText.includes('succeeded')"
    page.tab.wait_for_function(ended, timeout=120_000)
    page.tab.wait_for_function("() => document.querySelector('#train-chart .charts').dataset.points >= 40")
    page.tab.evaluate("document.activeElement.blur()")
    page.tab.evaluate("scrollTo(0, 0)")
    take(page, "train.png")


def take_notebook(browser: Any) -> None:
    """Run the lesson's cells up to the comparison, and photograph them with what they show."""
    import nbformat
    from markdown_it import MarkdownIt
    from nbclient import NotebookClient

    path = ROOT / "examples" / "which-tokens-are-trained.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = notebook.cells[:6]
    os.environ["PYTHONPATH"] = str(ROOT)
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    parts = [NOTEBOOK_STYLE]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(MarkdownIt().render(cell.source))
            continue
        parts.append(f"<pre>{escape(cell.source)}</pre>")
        parts += [output["data"]["text/html"] for output in cell.outputs if "data" in output]
    tab = browser.new_page(viewport={"width": 1000, "height": 800})
    tab.set_content(f"<!doctype html>{''.join(parts)}")
    tab.screenshot(path=ROOT / "docs" / "notebook.png", full_page=True)
    tab.close()


def show_compared(page: DataPage) -> None:
    """Another trainer's mask, and all of the others."""
    page.compared().filter(has_text="No masking").locator("input").check()


def show_drawer(page: DataPage) -> None:
    """The tools, with an answer."""
    page.unfold("#markers")
    page.tab.click("#find-markers")
    page.tab.wait_for_selector("#markers-report .rp-code")


def show_failure(page: DataPage) -> None:
    """A template that does not compile."""
    page.set_template("{% if %}")


def show_rows(page: DataPage) -> None:
    """The rows of a data set."""
    page.open_data()
    page.choose_example("merged-boundaries.jsonl")


def show_audit(page: DataPage) -> None:
    """What is found in them."""
    show_rows(page)
    page.run()


def show_run(page: DataPage) -> None:
    """The run that `take_train` has made."""
    page.tab.get_by_role("tab", name="Train", exact=True).click()
    page.tab.wait_for_function("() => document.querySelector('#train-state')?.innerText.includes('succeeded')")


def show_step(page: DataPage, name: str, selector: str) -> None:
    """Another step of the training."""
    show_run(page)
    page.tab.get_by_role("tab", name=name, exact=True).click()
    page.tab.wait_for_selector(selector)


STATES = {
    "inspect": lambda page: None, "inspect-compared": show_compared, "inspect-drawer": show_drawer,
    "inspect-failed": show_failure, "audit": show_rows, "audit-report": show_audit, "train": show_run,
    "train-data": lambda page: show_step(page, "1 Data", "#train-example"),
    "train-check": lambda page: show_step(page, "2 Check", "#train-preview .rv-row"),
    "train-use": lambda page: show_step(page, "4 Use", "#use-question"),
}  # fmt: skip
WIDTHS = {1440: 900, 1920: 1080, 390: 844}


def take_all(browser: Any, address: str, folder: Path) -> None:
    """Every tab and state, whole, at each width and in both themes."""
    folder.mkdir(parents=True, exist_ok=True)
    for theme in ("light", "dark"):
        for width, height in WIDTHS.items():
            for name, show in STATES.items():
                page = DataPage(browser.new_page(viewport={"width": width, "height": height}), address)
                page.open(theme=theme)
                show(page)
                page.tab.mouse.move(0, 0)
                page.tab.wait_for_timeout(SETTLED_MS)
                page.tab.screenshot(path=folder / f"{name}-{theme}-{width}.png", full_page=True)
                page.tab.close()


def take(page: DataPage, name: str) -> None:
    """Save what is seen, once nothing moves any more."""
    page.tab.mouse.move(0, 0)
    page.tab.wait_for_timeout(500)
    page.tab.screenshot(path=ROOT / "docs" / name)


if __name__ == "__main__":
    main()
