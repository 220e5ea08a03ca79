"""How many clicks and seconds nine jobs take on the page: `python benchmarks/jobs.py [--repeats 3]`.

Does each job in a browser, from the opened page to its answer, on the embedded model. A click is one on a button, a tab
or a choice; a text that is pasted, a file that is chosen and a key count as one each. Prints the table of docs/jobs.md,
with medians, and as its last line one JSON object: seconds by job. Only jobs 7 and 9 leave anything behind: a run in a
folder of its own, a link in the clipboard.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

WAIT_MS = 180_000
CALL = {"type": "function", "function": {"name": "look_up", "arguments": {"what": "capital"}}}
CHAT = [
    {"role": "user", "content": "What is the capital of Norway?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "Oslo"},
    {"role": "assistant", "content": "Oslo."},
]
AUDITED = 300


class Hands:
    """A user's hands, which are counted."""

    def __init__(self, tab: Any, address: str) -> None:
        self.tab, self.address, self.count = tab, address, 0

    def click(self, selector: str) -> None:
        """One click."""
        self.count += 1
        self.tab.locator(selector).first.click()

    def paste(self, selector: str, text: str) -> None:
        """A text, at once."""
        self.count += 1
        self.tab.fill(selector, text)

    def press(self, key: str) -> None:
        """One key."""
        self.count += 1
        self.tab.keyboard.press(key)

    def choose_file(self, selector: str, path: Path) -> None:
        """A file of the disk."""
        self.count += 1
        self.tab.set_input_files(selector, str(path))

    def sees(self, selector: str, text: str = "") -> None:
        """Wait until it is there, with this text."""
        found = self.tab.locator(selector).filter(has_text=text) if text else self.tab.locator(selector)
        found.first.wait_for()


def first_visit(hands: Hands, _: Path) -> None:
    """Open the page and see tokens."""
    hands.tab.goto("about:blank")
    hands.tab.goto(hands.address)
    hands.sees(".tv-body .tv-token")


def own_conversation(hands: Hands, _: Path) -> None:
    """Paste a chat with a tool call."""
    hands.click("#inputs [role=tab]:has-text('JSON')")
    hands.paste("#conversation textarea", json.dumps(CHAT))
    hands.sees(".tv-body .tv-text", "look_up")


def warning(hands: Hands, folder: Path) -> None:
    """Paste a trainer's warning with its ids, and read the cause."""
    log = (folder / "log.txt").read_text()
    hands.click("#open-decode")
    hands.paste("#log textarea", log)
    hands.click("#explain")
    hands.sees("#decode-report .report .rp-code")


def which_is_mine(hands: Hands, _: Path) -> None:
    """See the tokens as another trainer masks them."""
    hands.sees(".comparison:not(.stale) .cp-row")
    hands.click(".cp-row:has-text('No masking') input")
    hands.sees(".token-view[data-strategy=full]")


def ids(hands: Hands, _: Path) -> None:
    """Have the prefix and suffix ids found."""
    hands.click("#open-tools")
    hands.click("#markers > button")
    hands.click("#find-markers")
    hands.sees("#markers-report .rp-code")


def audit(hands: Hands, folder: Path) -> None:
    """Audit a file of 300 rows."""
    hands.click("[role=tab]:has-text('Audit')")
    hands.click("#data-kind label:has-text('File')")
    hands.choose_file("#data-file input[type=file]", folder / "rows.jsonl")
    hands.sees("#data-preview .rv-row")
    if not hands.tab.locator("#data-status", has_text="audited").count():
        hands.click("#data-run")
    hands.sees("#data-status", "audited")


def train(hands: Hands, _: Path) -> None:
    """Train the embedded model up to its first step."""
    hands.click("[role=tab]:has-text('Train')")
    hands.click("#train-start")
    hands.tab.wait_for_function("() => /step [1-9]|succeeded/.test(document.querySelector('#train-state')?.innerText)")


def keyboard(hands: Hands, _: Path) -> None:
    """Reach a trained token by keys alone."""
    for key in ("Tab", "Enter", "n"):
        hands.press(key)
    hands.sees(".tv-token.current.trained")


def share(hands: Hands, _: Path) -> None:
    """Copy a link to what is shown."""
    hands.click(".tv-menu > summary")
    hands.click(".tv-menu-items button:has-text('Copy link')")
    hands.sees(".tv-menu-items button", "Copied")


JOBS: tuple[Callable[[Hands, Path], None], ...] = (
    first_visit, own_conversation, warning, which_is_mine, ids, audit, train, keyboard, share,
)  # fmt: skip


def measure(browser: Any, address: str, folder: Path, repeats: int) -> Iterator[tuple[str, int, float]]:
    """What is done, the clicks, the median seconds: of each job once it is measured."""
    for job in JOBS:
        times = []
        for _ in range(repeats):
            context = browser.new_context(viewport={"width": 1400, "height": 900})
            context.set_default_timeout(WAIT_MS)
            context.grant_permissions(["clipboard-read", "clipboard-write"])
            hands = Hands(context.new_page(), address)
            hands.tab.goto(address)
            hands.sees(".tv-body .tv-token")
            hands.sees(".comparison:not(.stale) .cp-row")
            began = time.perf_counter()
            job(hands, folder)
            times.append(time.perf_counter() - began)
            context.close()
        yield str(job.__doc__).rstrip("."), hands.count, statistics.median(times)


def write_inputs(folder: Path) -> None:
    """The warning's log and the rows of the audit."""
    import inspector

    model = inspector.load("tiny-chat")
    found = inspector.inspect(model, {"messages": CHAT[:1], "add_generation_prompt": True}).ids
    said = "WARNING: example had no assistant response in it!"
    (folder / "log.txt").write_text(f"{found}\n{said}\n")
    lines = (ROOT / "examples" / "data" / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [lines[number % len(lines)] for number in range(AUDITED)]
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    from playwright.sync_api import sync_playwright

    from tests.support.browser import chromium_path, launch_chromium, running_app

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        os.environ["MASKSCOPE_RUNS"] = str(folder / "runs")
        write_inputs(folder)
        found = {}
        print("| job | clicks | seconds |\n|---|---|---|")
        with running_app() as address, sync_playwright() as playwright:
            browser = launch_chromium(playwright, chromium_path())
            for job, clicks, seconds in measure(browser, address, folder, repeats):
                found[job] = round(seconds, 2)
                print(f"| {job} | {clicks} | {seconds:.1f} |", flush=True)
            browser.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
