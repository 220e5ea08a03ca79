"""How the page is set: one font for bold text, the middle of a wide window, and nothing that jumps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.browser import DataPage, Page
from tests.support.hub_server import HubServer

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

ASCII_AND_BOLD = """() => {
  const found = [];
  for (const node of document.querySelectorAll("[data-bold]")) delete node.dataset.bold; // those of the tab before
  for (const node of document.querySelectorAll(".gradio-container *")) {
    const own = [...node.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent).join("");
    const isBold = one => +getComputedStyle(one).fontWeight >= 600;
    if (!own.trim() || !/^[\\x20-\\x7e\\n]*$/.test(node.textContent) || ![...node.children].every(isBold)) continue;
    if (!isBold(node) || !node.getClientRects().length) continue;
    node.dataset.bold = found.push(own.trim());
  }
  return found;
}"""


def fonts_of_bold_text(tab: Any) -> dict[str, set[str]]:
    """Each bold text that is seen, of letters that every font has -> the fonts that Chromium paints it with."""
    texts = tab.evaluate(ASCII_AND_BOLD)
    session = tab.context.new_cdp_session(tab)
    session.send("DOM.enable")
    session.send("CSS.enable")
    root = session.send("DOM.getDocument", {"depth": -1})["root"]["nodeId"]
    found: dict[str, set[str]] = {}
    for number, text in enumerate(texts, 1):
        node = session.send("DOM.querySelector", {"nodeId": root, "selector": f'[data-bold="{number}"]'})["nodeId"]
        fonts = session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
        found.setdefault(text, set()).update(font["postScriptName"] for font in fonts)
    session.detach()
    return found


def test_bold_text_is_set_in_one_font(page: DataPage) -> None:
    """On every tab: the letters of a word come from one font, and what is not code from the page's own."""
    page.choose("#gallery", "One token spans two texts")
    page.compared()  # which is drawn after the tokens
    seen = fonts_of_bold_text(page.tab)
    page.open_data()
    page.rest()  # an audit begins by itself, and draws
    seen |= fonts_of_bold_text(page.tab)
    page.tab.get_by_role("tab", name="Train", exact=True).click()
    seen |= fonts_of_bold_text(page.tab)
    assert "assistant" in seen
    assert {text: fonts for text, fonts in seen.items() if len(fonts) > 1} == {}
    assert seen["assistant"] == {"IBMPlexSans-Bold"}
    assert {font for fonts in seen.values() for font in fonts if "Mono" not in font} == {"IBMPlexSans-Bold"}


@pytest.mark.parametrize("width", [390, 1440, 1920, 2560])
def test_the_page_stands_in_the_middle(page: Page, width: int) -> None:
    """As much room at its left as at its right, and no sideways scrolling."""
    page.tab.set_viewport_size({"width": width, "height": 900})
    left, right, wide = page.tab.evaluate(
        """() => {
          const box = document.querySelector(".gradio-container").getBoundingClientRect();
          const all = document.documentElement;
          return [box.left, all.clientWidth - box.right, all.scrollWidth - all.clientWidth];
        }"""
    )
    assert abs(left - right) <= 1
    assert wide == 0


def is_seen(tab: Any, selector: str, height: int) -> None:
    """Wait until it begins within the window, and all of it is there if that is one line."""
    tab.wait_for_function(
        """([selector, height]) => {
          const box = document.querySelector(selector)?.getBoundingClientRect();
          return box && box.height > 0 && box.top >= -1 && box.top <= height - Math.min(box.height, 24);
        }""",
        arg=[selector, height],
    )


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_what_a_button_changes_is_in_view(page: DataPage, width: int, height: int) -> None:
    """Without scrolling by hand: where its answer begins, and all of it if that is one line."""
    page.tab.set_viewport_size({"width": width, "height": height})

    page.tab.locator(".tv-others").click()
    is_seen(page.tab, ".tv-token.wrong", height)
    page.compared().nth(0).locator("input").check()
    page.compared().filter(has_text="No masking").locator("input").check()
    is_seen(page.tab, ".tv-verdict-title", height)
    page.tab.get_by_role("button", name="Next problem").click()
    is_seen(page.tab, ".tv-token.current", height)
    page.tab.click(".tv-menu > summary")
    is_seen(page.tab, ".tv-menu-items", height)
    page.tab.keyboard.press("Escape")
    page.choose("#strategy", "open-instruct")
    is_seen(page.tab, ".tv-verdict-title", height)
    page.choose("#gallery", "One token spans two texts")
    is_seen(page.tab, ".tv-verdict-title", height)
    with page.redrawn():
        page.tab.click("#tour")
    is_seen(page.tab, ".tv-rows", height)
    page.tab.click("#open-decode")
    is_seen(page.tab, "#log textarea", height)
    page.tab.fill("#log textarea", "ZeroDivisionError: Unsloth: All labels in your dataset are -100.")
    for pane, button, answer in (
        ("#decode", "#explain", "#decode-report .rp-text"), ("#markers", "#find-markers", "#markers-report .rp-code"),
        ("#tags", "#add-tags", "#template-report .rp-text"), ("#export", "#write", "#export-report .rp-text"),
        ("#export", "#rows-jsonl", "#rows-report .rp-text"),
    ):  # fmt: skip
        page.unfold(pane)
        page.tab.click(button)
        is_seen(page.tab, answer, height)
        page.tab.locator(f"{pane} > button").first.click()


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_what_a_button_of_the_audit_changes_is_in_view(data_page: DataPage, width: int, height: int) -> None:
    """The report, what is saved, a chart, a problem's rows one after the other, and the problems again."""
    tab = data_page.tab
    tab.set_viewport_size({"width": width, "height": height})
    data_page.choose_example("merged-boundaries.jsonl")
    is_seen(tab, "#data-summary .rp-text", height)
    tab.evaluate("scrollTo(0, 0)")
    data_page.run()
    is_seen(tab, "#data-status .rp-text", height)
    tab.click("#data-save-report")
    is_seen(tab, "#data-files .rp-text", height)
    tab.locator(".fv-choose").first.click()
    is_seen(tab, ".fv-finding", height)
    for pane, drawn, last in (
        ("#data-lengths-pane", "#data-lengths-text .rp-text", "#data-lengths .main-svg"),
        ("#data-roles-pane", "#data-roles-text .rp-text", "#data-turns .main-svg"),
        ("#batch-pane", "#batch .bv-said", "#batch .rv-row"),
    ):
        data_page.unfold(pane)
        tab.wait_for_selector(last)
        is_seen(tab, drawn, height)
    tab.get_by_role("button", name="Open the rows of").first.click()
    for selector in (".tv-repair", ".tv-verdict-title", ".tv-save"):
        is_seen(tab, selector, height)
    tab.click(".tv-save")
    is_seen(tab, ".tv-said:not(:empty)", height)
    with data_page.redrawn():
        tab.click(".tv-skip")
    is_seen(tab, ".tv-repair", height)
    tab.get_by_role("button", name="Back to the audit").click()
    is_seen(tab, ".fv-title", height)


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_the_train_button_is_always_in_view(page: DataPage, width: int, height: int) -> None:
    """However long the settings are."""
    page.tab.set_viewport_size({"width": width, "height": height})
    page.tab.get_by_role("tab", name="Train", exact=True).click()
    box = page.tab.locator("#train-start").bounding_box()
    assert 0 <= box["y"] <= height - box["height"]


@pytest.mark.parametrize("width", [420, 1400])
def test_nothing_jumps_when_a_model_cannot_be_loaded(page: Page, hub: HubServer, width: int) -> None:
    """The line under the boxes stays and says so, however long the reason is; what is below stays where it was."""
    page.tab.set_viewport_size({"width": width, "height": 900})
    place = (
        "() => [...document.querySelectorAll('#head-row, #main-row')].map(e => e.getBoundingClientRect().top + scrollY)"
    )
    before = page.tab.evaluate(place)
    page.set_model("someone/nothing-of-this-name-is-there")
    assert page.tab.inner_text("#model-info").startswith("Not loaded: ")
    assert page.tab.evaluate(place) == before
    page.set_model("tiny-chat")
    assert page.tab.evaluate(place) == before
