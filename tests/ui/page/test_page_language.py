"""The page in another language, in a real Chromium."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.waiting import HANG_S

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_a_chinese_browser_shows_chinese(app: str, browser: Any) -> None:
    """Tabs, labels, choices, buttons, notes and text boxes; what is trained is the same."""
    context = browser.new_context(locale="zh-CN")
    try:
        tab = context.new_page()
        tab.goto(app)
        tab.wait_for_function("() => document.querySelector('.token-view')?.dataset.state === 'shown'")
        assert tab.get_by_role("tab", name="审计", exact=True).count() == 1
        assert "模型" in tab.inner_text("#model")
        assert tab.inner_text("#tour") == "看三个典型错误"
        assert "看清你的训练器到底训练了哪些 token。" in tab.inner_text(".ms-heading")
        tab.get_by_role("tab", name="JSON").click()
        tab.wait_for_selector("#conversation textarea")
        assert tab.inner_text("#conversation .tb-label") == "对话"
        trained = "".join(tab.locator(".tv-body .tv-token.trained").all_inner_texts())
        assert trained == "The capital of France is Paris.<|im_end|>Tuesday comes after Monday.<|im_end|>"
    finally:
        context.close()


def test_an_audit_works_in_chinese(app: str, browser: Any) -> None:
    """The values of choices are sent as they are, whatever the browser calls them: the first example is audited."""
    context = browser.new_context(locale="zh-CN")
    try:
        tab = context.new_page()
        tab.goto(app)
        tab.wait_for_function("() => document.querySelector('.token-view')?.dataset.state === 'shown'")
        tab.get_by_role("tab", name="审计", exact=True).click()
        assert tab.locator("#data-kind input:checked").get_attribute("value") == "example"
        drawn = "() => document.querySelector('#data-preview .rows-view')?.childElementCount"
        tab.wait_for_function(drawn, timeout=HANG_S * 1000)
        tab.click("#data-run")
        tab.get_by_text("12 rows audited.").wait_for(timeout=HANG_S * 1000)
        assert tab.locator(".toast-body").count() == 0
    finally:
        context.close()


def test_other_languages_are_shown_english(app: str, browser: Any) -> None:
    """Where there is no catalogue, nothing of how texts are looked up is seen."""
    context = browser.new_context(locale="de-DE")
    try:
        tab = context.new_page()
        tab.goto(app)
        tab.wait_for_function("() => document.querySelector('.token-view')?.dataset.state === 'shown'")
        assert tab.get_by_role("tab", name="Audit", exact=True).count() == 1
        assert tab.inner_text("#tour") == "Show me three mistakes"
        assert "\u2060" not in tab.inner_text("body")
    finally:
        context.close()
