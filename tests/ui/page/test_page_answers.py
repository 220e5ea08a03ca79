"""Answers that come late, in a real Chromium: what was asked about another model or template is never shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Page
from tests.support.hub_server import Fault, HubServer
from tests.support.waiting import HANG_S

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

FILES = {path.name: path.read_bytes() for path in (Path(__file__).parents[3] / "models/tiny-chat").glob("*token*.json")}
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PANES = {"#add-tags": "#template-report", "#find-markers": "#markers-report", "#write": "#export-report"}


def template(name: str) -> str:
    """A chat template that says whose it is."""
    return f"{{# {name} #}}" + CHATML


def add(hub: HubServer, name: str) -> str:
    """A model with a template of its own; returns that."""
    hub.add(f"someone/{name}", {**FILES, "chat_template.jinja": template(name)})
    return template(name)


def wait_for(what: Callable[[], bool], page: Page) -> None:
    """Wait until it is so; the limit is only against hanging."""
    until = time.monotonic() + HANG_S
    while not what():
        assert time.monotonic() < until
        page.tab.wait_for_timeout(50)


def ask_for(page: Page, name: str) -> None:
    """Type a model's name, and do not wait for it."""
    page.tab.fill("#model input", f"someone/{name}")
    page.tab.keyboard.press("Enter")


def held(hub: HubServer, page: Page, name: str) -> None:
    """Ask for a model whose tokenizer does not arrive until the hub lets it go."""
    hub.fail(Fault.SLOW, method="GET", path=f"*/{name}/resolve/*/tokenizer.json")
    ask_for(page, name)
    wait_for(lambda: any(p.endswith("/tokenizer.json") and f"/{name}/" in p for p in hub.paths()), page)


def source(page: Page) -> str:
    """The template in its box, which is there once it has been looked at."""
    page.unfold("#template-pane")
    return str(page.tab.input_value("#template-source textarea"))


def test_what_is_clicked_while_a_model_loads_is_not_answered_about_another(page: Page, hub: HubServer) -> None:
    """The panes wait; a click that gets through all the same is told to wait, too, and proves nothing."""
    own = add(hub, "slow")
    page.unfold("#template-pane")
    for pane in ("#markers", "#export", "#tags"):
        page.unfold(pane)
    page.tab.wait_for_selector("#export-report .report:not(:empty)")
    held(hub, page, "slow")
    page.tab.wait_for_function("() => document.querySelector('#main-row').inert")
    assert not page.tab.evaluate("document.querySelector('#model-row').inert")
    for button, report in PANES.items():
        page.tab.evaluate("s => document.querySelector(s).click()", button)
        loading = "s => document.querySelector(s).innerText.includes('still being loaded')"
        page.tab.wait_for_function(loading, arg=report)
    with page.redrawn():
        hub.let_go()
    assert source(page) == own
    assert "Verified" not in page.tab.inner_text("#template-report")
    page.tab.wait_for_function("() => !document.querySelector('#main-row').inert")
    page.tab.click("#add-tags")
    page.tab.wait_for_function("() => document.querySelector('#template-report').innerText.includes('Verified')")
    assert source(page).startswith("{# slow #}")
    assert " generation " in source(page)


@pytest.mark.parametrize("button", [*PANES])
def test_an_answer_that_comes_after_another_model_is_dropped(page: Page, hub: HubServer, button: str) -> None:
    """Asked about one model, arrived when the next is shown: the report says so, the template is the next one's."""
    own = add(hub, "next")
    page.unfold("#template-pane")
    for pane in ("#markers", "#export", "#tags"):
        page.unfold(pane)
    page.tab.wait_for_selector("#export-report .report:not(:empty)")
    waiting = hold_one(page)
    page.tab.evaluate("s => document.querySelector(s).click()", button)
    wait_for(lambda: len(waiting) == 1, page)
    page.set_model("someone/next")
    waiting[0].continue_()
    dropped = "s => document.querySelector(s).innerText.includes('ask again')"
    page.tab.wait_for_function(dropped, arg=PANES[button])
    assert source(page) == own


def hold_one(page: Page) -> list[Any]:
    """The next question that the page asks, which does not arrive; those after it do."""
    waiting: list[Any] = []
    page.tab.route("**/queue/join*", lambda route: route.continue_() if waiting else waiting.append(route))
    return waiting


def test_of_two_models_the_one_that_was_chosen_last_is_shown(page: Page, hub: HubServer) -> None:
    """The first arrives after the second: nothing of it is shown, and nothing waited for it."""
    first, second = add(hub, "first"), add(hub, "second")
    page.unfold("#template-pane")
    held(hub, page, "first")
    page.tab.evaluate(
        """() => {
          window.seen = [];
          const look = () => window.seen.push(document.querySelector('#template-source textarea').value);
          setInterval(look, 5);
        }"""
    )
    page.set_model("someone/second")
    assert source(page) == second
    page.tab.wait_for_function("() => !document.querySelector('#main-row').inert")
    shown = page.revision
    with page.tab.expect_response("**/gradio_api/run/predict*"):
        hub.let_go()
    page.set_json([{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "After both."}])
    assert page.trained_text() == "After both.<|im_end|>"
    assert page.revision == shown + 1
    assert first not in page.tab.evaluate("window.seen")


def test_a_view_of_what_was_typed_before_is_not_drawn(page: Page) -> None:
    """The view of the old text is asked for first and answered last: the new text stays."""
    page.unfold("#training")
    waiting = hold_one(page)
    page.tab.uncheck("#reasoning input")
    wait_for(lambda: len(waiting) == 1, page)
    page.set_json([{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "The new text."}])
    page.compared()
    shown = page.revision
    with page.tab.expect_response("**/gradio_api/run/predict*"):
        waiting[0].continue_()
    page.tab.get_by_role("tab", name="Messages").click()
    with page.redrawn():
        page.tab.fill(".ce-row textarea >> nth=0", "Next?")
    assert page.trained_text() == "The new text.<|im_end|>"
    assert page.revision == shown + 1
