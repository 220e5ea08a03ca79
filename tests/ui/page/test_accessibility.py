"""axe-core over every tab, with something on it: no serious violation, light and dark, desktop and phone."""

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


def _data(page: Any) -> None:
    page.get_by_role("tab", name="Audit", exact=True).click()
    page.wait_for_function("() => document.querySelectorAll('#data-preview .rv-row').length > 1")
    page.get_by_role("button", name="Run the audit").click()
    page.wait_for_function("() => document.querySelector('#data-status').innerText.includes('audited')")
    page.wait_for_function("() => !document.querySelector('[aria-label=\"Empty value\"]')")


def _train(page: Any) -> None:
    page.get_by_role("tab", name="Train", exact=True).click()
    page.wait_for_function("() => document.querySelector('#train-state')?.innerText.includes('succeeded')")


def _check(page: Any) -> None:
    page.get_by_role("tab", name="2 Check", exact=True).click()
    page.wait_for_function("() => document.querySelectorAll('#train-preview .rv-row').length > 1")


def _use(page: Any) -> None:
    page.get_by_role("tab", name="4 Use", exact=True).click()
    page.wait_for_selector("#use-question textarea")


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 420), ("light", 420)])
def test_no_serious_violation(address: str, context: Any, scheme: str, width: int) -> None:
    """What axe calls serious or critical; the whole report is kept beside the screenshots."""
    page, found, kept = context.new_page(), [], {}
    page.set_viewport_size({"width": width, "height": 1000})
    page.emulate_media(color_scheme=scheme)
    try:
        page.goto(f"{address}?__theme={scheme}")
        for show in (_inspect, _data, _train, _check, _use):
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
