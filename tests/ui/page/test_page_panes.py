"""The panes of the page in a real Chromium: training, rows, remedies, the gallery, markers, tags, exports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Page
from tests.support.fetch import axe_script

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def notice(page: Page) -> str:
    return str(page.tab.inner_text(".tv-notice"))


def saved(page: Page, button: Any) -> tuple[str, bytes]:
    """Click what saves a file; its name and its bytes."""
    with page.tab.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_a_strategy_recolours_the_tokens(page: Page) -> None:
    """Another trainer brings its options, filled; a bad one is the view's failure; Exact brings its policy back."""
    before = page.trained_text()
    page.unfold("#training")
    page.tab.wait_for_selector("#turns", state="visible")
    page.choose("#strategy", "home-llm · as it is")
    assert page.verdict() == "home-llm trains 1 token it should not: the newline after an answer"
    assert page.trained_text() == before + "\n"
    page.tab.wait_for_selector("#turns", state="hidden")
    options = json.loads(page.tab.input_value("#strategy-options textarea"))
    assert options == {"prefix_ids": [2, 1558, 203], "suffix_ids": [3]}
    with page.redrawn():
        page.tab.fill("#strategy-options textarea", '{"prefix_ids": ')
    assert "Options is not JSON" in page.failure()
    page.choose("#strategy", "No masking")
    page.tab.wait_for_selector("#strategy-options", state="hidden")
    assert "foreign_text_in_loss" in page.findings()
    page.choose("#strategy", "Exact")
    assert page.trained_text() == before
    page.tab.wait_for_selector("#turns", state="visible")


def test_max_length_cuts_tokens_off(page: Page) -> None:
    """Cut tokens are struck through and counted in a legend entry of their own; an empty box ends that."""
    page.unfold("#training")
    cut = page.tab.locator(".tv-key", has_text="cut off")
    assert not cut.is_visible()
    with page.redrawn():
        page.tab.fill("#max-length input", "30")
    total = len(page.tokens())
    assert ["cut" in classes for _, classes in page.tokens()] == [False] * 30 + [True] * (total - 30)
    last = page.tab.locator(".tv-body .tv-token").last
    assert "line-through" in last.evaluate("e => getComputedStyle(e).textDecorationLine")
    last.hover()
    assert page.detail()["training"] == "not trained: cut off by the truncation"
    assert cut.inner_text().endswith(str(total - 30))
    assert "max_length 30" in page.tab.inner_text(".tv-from")
    page.choose("#truncation", "Keep the end")
    assert "cut" in page.tokens()[0][1]
    with page.redrawn():
        page.tab.fill("#max-length input", "0")
    assert "max_length is 0" in page.failure()
    with page.redrawn():
        page.tab.fill("#max-length input", "")
    assert not any("cut" in classes for _, classes in page.tokens())
    assert not cut.is_visible()


def test_a_gallery_entry_opens_with_its_finding(page: Page) -> None:
    """A finding's whole setup, what to look at, and the finding; then a lesson and its fix."""
    page.choose("#gallery", "A marker is not found")
    assert "marker_not_found" in page.findings()
    assert "home-llm looks for the header's ids" in notice(page)
    page.choose("#gallery", re.compile("The response template"))
    assert "marker_not_found" in page.findings()
    with page.redrawn():
        page.tab.locator("[data-remedy=use_verified_ids]").first.click()
    assert "marker_not_found is gone" in notice(page)
    assert page.tab.locator(".tv-token.trained").count() > 0
    with page.redrawn():
        page.tab.get_by_role("button", name="Undo").click()
    assert "marker_not_found" in page.findings()


def test_a_split_gives_rows_to_walk_through(page: Page, context: Any) -> None:
    """One example per turn: two rows, the boxes follow, an edit stays with its row, a link reopens the row."""
    page.choose("#gallery", "The template drops part of a message")
    assert page.tab.locator(".tv-rows").count() == 0
    whole = page.json()
    with page.redrawn():
        page.tab.locator("[data-remedy=split_turns]").first.click()
    assert "content_lost is still there in 1 of 2 rows" in notice(page)
    assert page.tab.inner_text(".tv-rows span") == "Row 1 of 2"
    assert page.json() == whole[:2]
    page.set_json([*whole[:1], {"role": "assistant", "content": "Four."}])
    with page.redrawn():
        page.tab.click(".tv-next")
    assert page.tab.inner_text(".tv-rows span") == "Row 2 of 2"
    assert page.json() == whole
    assert page.tab.is_disabled(".tv-next")
    other = Page(context.new_page(), page.address)
    other.tab.goto(page.tab.url)
    other.tab.wait_for_selector(".tv-rows")
    assert other.tab.inner_text(".tv-rows span") == "Row 2 of 2"
    with other.redrawn():
        other.tab.click(".tv-before")
    assert other.json()[1]["content"] == "Four."
    other.tab.close()


def test_the_keyboard_alone_applies_a_remedy_and_walks_the_rows(page: Page) -> None:
    """Tab reaches the button, Enter applies it, the notice has the keyboard then, and rows are walked by Enter."""
    page.choose("#gallery", "The template rewrites earlier messages")
    press = page.tab.keyboard.press
    page.tab.focus(".tv-body")
    for _ in range(20):
        press("Tab")
        if page.tab.evaluate("document.activeElement.dataset.remedy") == "split_turns":
            break
    with page.redrawn():
        press("Enter")
    assert page.tab.evaluate("document.activeElement.className") == "tv-notice"
    assert "Applied: Each assistant turn" in notice(page)
    page.tab.focus(".tv-next")
    with page.redrawn():
        press("Enter")
    assert page.tab.inner_text(".tv-rows span") == "Row 2 of 2"
    assert "tv-before" in page.tab.evaluate("document.activeElement.className")
    with page.redrawn():
        press("Enter")
    assert page.tab.inner_text(".tv-rows span") == "Row 1 of 2"


def test_a_refused_conversation_is_mended_by_a_click(page: Page) -> None:
    """The failure's finding has its button, and the boxes hold what came of it."""
    page.choose("#gallery", "The template refuses this order of roles")
    assert "refuses" in page.failure()
    before = len(page.json())
    with page.redrawn():
        page.tab.click("[data-remedy=join_messages]")
    assert "roles_must_alternate is gone" in notice(page)
    assert len(page.json()) < before


def test_markers_are_found_and_words_taken_apart(page: Page) -> None:
    """Ids and misses on a click; two words as tokens at once; a changed view marks the markers as old."""
    page.unfold("#markers")
    page.tab.wait_for_selector("#pieces .rp-token")
    page.tab.click("#find-markers")
    page.tab.wait_for_selector("#markers-report .rp-table")
    ids = page.tab.locator("#markers-report .rp-code pre").all_inner_texts()
    assert [text.strip() for text in ids] == ["2,1558,203", "3"]
    found = page.tab.inner_text("#markers-report")
    assert "28 of 32 answers" in found
    assert "after a newline" in found
    page.tab.fill("#word-one textarea", "Monday <b>")
    page.tab.wait_for_function("document.querySelector('#pieces').textContent.includes('<b>')")
    page.tab.get_by_role("tab", name="Messages").click()
    with page.redrawn():
        page.tab.fill(".ce-row textarea >> nth=0", "Next?")
    assert page.tab.locator("#markers-report .report.stale").count() == 1
    assert page.tab.locator("#pieces .report.stale").count() == 0


def test_generation_tags_are_shown_as_a_diff_and_saved(page: Page) -> None:
    """One click: the proof, the diff with its signs, the template in the box and as a file; or why there is none."""
    page.set_template(CHATML)
    truth = page.trained_text()
    page.unfold("#tags")
    with page.redrawn():
        page.tab.click("#add-tags")
    source = page.tab.input_value("#template-source textarea")
    assert "endgeneration" in source
    assert page.tab.inner_text("#template-report .rp-text >> nth=0").startswith("✓Verified: ")
    assert page.tab.inner_text("#template-report .rp-added >> nth=0").startswith("+")
    assert page.tab.inner_text("#template-report .rp-removed >> nth=0").startswith("-")
    name, content = saved(page, page.tab.get_by_role("button", name="Download training_template.jinja"))
    assert (name, content.decode()) == ("training_template.jinja", source)
    assert page.trained_text() == truth
    page.choose("#strategy", "transformers")
    assert page.trained_text() == truth
    page.set_template("no loop here {{ messages[0].content }}")
    assert not page.tab.is_visible("#template-report")
    page.tab.click("#add-tags")
    page.tab.wait_for_function("document.querySelector('#template-report').textContent.includes('✗Not verified: ')")


def test_settings_and_rows_are_exported(page: Page) -> None:
    """The verdict and the code for a trainer, as text and as files; the rows with the labels that are shown."""
    page.unfold("#export")
    report = page.tab.locator("#export-report")
    page.tab.wait_for_selector("#export-report .rp-code")
    assert "✓ Same tokens." in report.inner_text()
    page.tab.click("#target input")
    page.tab.get_by_role("option", name="home-llm").click()
    page.tab.wait_for_function("document.querySelector('#export-report').textContent.includes('--prefix_ids')")
    assert "✗ Other tokens." in report.inner_text()
    name, content = saved(page, report.get_by_role("button", name="Download flags.sh"))
    assert name == "flags.sh"
    assert b"--prefix_ids 2,1558,203" in content
    report.get_by_role("button", name="Copy").click()
    page.tab.wait_for_function("() => navigator.clipboard.readText().then(t => t.includes('--prefix_ids'))")
    name, content = saved(page, page.tab.locator("#rows-jsonl"))
    assert name == "rows.jsonl"
    row = json.loads(content)
    trained = ["trained" in classes for _, classes in page.tokens()]
    assert [label != -100 for label in row["labels"]] == trained
    name, content = saved(page, page.tab.locator("#rows-parquet"))
    assert (name, content[:4]) == ("rows.parquet", b"PAR1")


def test_text_in_the_panes_is_never_run(page: Page) -> None:
    """Markup and code in a template, a word, a special token and an option are shown as text."""
    nasty = "<img src=x onerror=window.pwned=1>${window.pwned=1}"
    page.set_template("{# " + nasty + " #}" + CHATML)
    page.unfold("#tags")
    with page.redrawn():
        page.tab.click("#add-tags")
    page.unfold("#markers")
    page.tab.fill("#word-two textarea", nasty)
    page.tab.wait_for_function("document.querySelector('#pieces').textContent.includes('onerror')")
    page.unfold("#export")
    page.tab.wait_for_selector("#export-report .rp-code")
    page.unfold("#training")
    with page.redrawn():
        page.tab.fill("#special-tokens textarea", json.dumps({"pad_token": nasty}))
    page.choose("#strategy", "TRL 0.19 and older")
    with page.redrawn():
        page.tab.fill("#strategy-options textarea", json.dumps({"response": nasty}))
    assert "marker_not_found" in page.findings()
    assert page.tab.evaluate("window.pwned") is None


@pytest.mark.parametrize(("theme", "width"), [("light", 1400), ("dark", 420)])
def test_every_pane_fits_and_passes_axe(page: Page, theme: str, width: int) -> None:
    """All panes open: no sideways scrolling, nothing for axe to mend in our own parts."""
    page.choose("#gallery", "The template rewrites earlier messages")
    with page.redrawn():
        page.tab.locator("[data-remedy=split_turns]").first.click()
    for pane in ("#training", "#template-pane", "#options", "#markers", "#export", "#tags"):
        page.unfold(pane)
    with page.redrawn():
        page.tab.fill("#max-length input", "20")
    page.tab.click("#find-markers")
    page.tab.click("#add-tags")
    page.tab.click("#write")
    for report in ("#markers-report", "#template-report", "#export-report", "#pieces"):
        page.tab.wait_for_selector(f"{report} .report:not(:empty)")
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
    page.tab.evaluate(axe_script())
    found = page.tab.evaluate(
        "parts => axe.run({include: parts.map(part => [part])}, {resultTypes: ['violations']})",
        ["#view", "#comparison", "#findings", ".report", "#strategy-about", ".pane-note"],
    )
    assert [(v["id"], [node["html"] for node in v["nodes"][:3]]) for v in found["violations"]] == []
    page.tab.screenshot(
        path=str(Path(__file__).parents[2] / "screenshots" / f"panes_{theme}_{width}.png"), full_page=True
    )
    page.tab.set_viewport_size({"width": 1400, "height": 900})
