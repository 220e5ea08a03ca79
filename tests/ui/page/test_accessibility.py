"""axe-core over every tab and what opens on it: no serious violation, light and dark, desktop and phone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.fetch import axe_script
from tests.support.training_runs import run_here

REPORT = Path(__file__).parents[2] / "screenshots" / "axe.json"


@pytest.fixture(scope="module")
def address(app: str, app_runs: Path) -> str:
    """The app, with a run that is over."""
    run_here(app_runs, max_steps=4)
    return app


def _inspect(page: Any) -> None:
    page.wait_for_function("() => document.querySelector('.token-view')?.dataset.state === 'shown'")


def _compared(page: Any) -> None:
    page.wait_for_selector(".comparison:not(.stale) .cp-row")
    page.click(".cp-all")
    page.locator(".cp-row", has_text="No masking").locator("input").check()
    page.click(".cp-folded > summary")


def _share(page: Any) -> None:
    page.click(".tv-menu > summary")
    page.wait_for_selector(".tv-menu[open]")


def _token(page: Any) -> None:
    page.keyboard.press("Escape")
    page.focus(".tv-body")
    page.keyboard.press("n")
    page.wait_for_selector(".tv-detail:not([hidden])")


def _drawer(page: Any) -> None:
    page.click("#open-tools")
    page.wait_for_selector("#drawer.open")
    for pane in ("#decode", "#markers", "#tags", "#export"):
        page.click(f"{pane} > button")
    page.wait_for_timeout(500)  # it slides


def _failed(page: Any) -> None:
    page.click("#drawer .toggle-button")
    page.wait_for_selector("#drawer:not(.open)", state="attached")
    page.click("#template-pane > button")
    page.fill("#template-source textarea", "{% if %}")
    page.wait_for_function("() => document.querySelector('.token-view').dataset.state === 'failed'")


def _data(page: Any) -> None:
    page.get_by_role("tab", name="Audit", exact=True).click()
    page.wait_for_function("() => document.querySelectorAll('#data-preview .rv-row').length > 1")
    page.get_by_role("button", name="Run the audit").click()
    page.wait_for_function("() => document.querySelector('#data-status').innerText.includes('audited')")
    page.wait_for_function("() => !document.querySelector('[aria-label=\"Empty value\"]')")


def _batch(page: Any) -> None:
    page.click("#batch-pane > button:not(.open)")
    page.wait_for_selector(".batch-view .bv-head, .batch-view .rv-failure")


def _train(page: Any) -> None:
    page.get_by_role("tab", name="Train", exact=True).click()
    page.wait_for_function("() => document.querySelector('#train-state')?.innerText.includes('succeeded')")


def _check(page: Any) -> None:
    page.get_by_role("tab", name="2 Check", exact=True).click()
    page.wait_for_function("() => document.querySelectorAll('#train-preview .rv-row').length > 1")


def _use(page: Any) -> None:
    page.get_by_role("tab", name="4 Use", exact=True).click()
    page.wait_for_selector("#use-question textarea")


def _models(page: Any) -> None:
    page.get_by_role("tab", name="Models", exact=True).click()
    page.wait_for_selector(".bd-table")


STATES = (_inspect, _compared, _share, _token, _drawer, _failed, _data, _batch, _train, _check, _use, _models)


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 1400), ("dark", 420), ("light", 420)])
def test_no_serious_violation(address: str, context: Any, scheme: str, width: int) -> None:
    """What axe calls serious or critical; the whole report is kept beside the screenshots."""
    page, found, kept = context.new_page(), [], {}
    page.set_viewport_size({"width": width, "height": 1000})
    page.emulate_media(color_scheme=scheme)
    try:
        page.goto(f"{address}?__theme={scheme}")
        for show in STATES:
            show(page)
            page.evaluate(axe_script())
            violations = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
            kept[show.__name__] = {one["id"]: [one["impact"], len(one["nodes"])] for one in violations}
            found += [
                (show.__name__, one["id"], node["html"][:200])
                for one in violations
                if one["impact"] in ("serious", "critical")
                for node in one["nodes"]
            ]
    finally:
        page.close()
    REPORT.parent.mkdir(exist_ok=True)
    known = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    REPORT.write_text(json.dumps({**known, f"{scheme} {width}": kept}, indent=1))
    assert found == []


SMALL = """() => [...document.querySelectorAll('button, summary, select, textarea, input')].flatMap(node => {
  const isBox = node.matches('[type=radio], [type=checkbox]'), target = isBox && node.closest('label') || node;
  const {width, height} = target.getBoundingClientRect();
  const isSeen = target.checkVisibility({opacityProperty: true, visibilityProperty: true}) && width && height;
  const isHeld = target.closest('.visually-hidden, [aria-hidden=true]');
  const isSmall = height < 44 || (node.matches('button') && width < 44);
  return isSeen && !isHeld && isSmall ? [[target.outerHTML.slice(0, 120), width, height]] : [];
})"""


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_what_is_touched_is_as_large_as_a_finger(address: str, browser: Any) -> None:
    """44 pixels, where the pointer is a finger. Tokens are text and stay as they are."""
    phone = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = phone.new_page()
    try:
        page.goto(address)
        for show in (_inspect, _data, _train, _check, _use, _models):
            show(page)
            assert page.evaluate(SMALL) == [], show.__name__
    finally:
        phone.close()
