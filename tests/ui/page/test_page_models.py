"""The Models tab in a real Chromium: one looks a model up, by keys alone, and opens what is here."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.browser import DataPage

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

ROWS = (
    "() => [...document.querySelectorAll('.bd-table tbody tr')].filter(e => e.checkVisibility()).map(e => e.innerText)"
)


def open_models(page: DataPage) -> None:
    """Go to the tab and wait for its rows."""
    page.tab.get_by_role("tab", name="Models", exact=True).click()
    page.tab.wait_for_selector(".bd-table")


def rows(tab: Any) -> list[str]:
    """The texts of the rows that are seen."""
    return list(tab.evaluate(ROWS))


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_does_trl_mask_gemma_3_right(page: DataPage, theme: str, width: int) -> None:
    """Found as one types: the rows of the model, and of each what this trainer does wrong, in words."""
    open_models(page)
    assert len(rows(page.tab)) == 157
    box = page.tab.get_by_role("searchbox", name="Find a model or a trainer")
    box.press_sequentially("gemma 3 ")
    found = rows(page.tab)
    assert 2 <= len(found) < 10
    assert found[0].startswith("real/gemma3")
    assert (
        found[0].index("No masking trains every token")
        < found[0].index("TRL trains 2")
        < found[0].index("axolotl exact")
    )
    box.press_sequentially("TRL")
    assert page.tab.inner_text(".bd-count") == f"{len(found)} of 157 chat templates"
    assert "✗ TRL trains 2 tokens it should not: the newlines after answers" in rows(page.tab)[0]
    assert not any("axolotl " in row for row in rows(page.tab))
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
    box.fill("no such model")
    assert rows(page.tab) == []
    assert page.tab.locator(".bd-none").is_visible()


def test_a_model_that_is_here_opens_by_keys_alone(page: DataPage) -> None:
    """Search, Tab, Enter: the template is shown with the conversation that was there; the search stays."""
    before = page.json()
    open_models(page)
    page.tab.focus(".bd-search input")
    page.tab.keyboard.type("zephyr")
    page.tab.keyboard.press("Tab")
    assert page.tab.evaluate("document.activeElement.textContent") == "built in/zephyr"
    with page.redrawn():
        page.tab.keyboard.press("Enter")
    assert page.tab.is_visible(".tv-body")
    assert "<|user|>" in page.tab.inner_text(".tv-body")
    assert page.tab.input_value("#model input") == "tiny-chat"
    assert page.json() == before
    open_models(page)
    assert page.tab.input_value(".bd-search input") == "zephyr"
    assert page.tab.locator(".bd-name:visible:not(.bd-open)").count() == len(rows(page.tab)) - 1
