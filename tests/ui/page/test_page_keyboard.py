"""The keyboard in a real Chromium: Tab passes through every box and opens, changes and breaks nothing."""

from __future__ import annotations

import pytest

from tests.support.browser import DataPage, Page

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

OPEN_LISTS = "() => document.querySelectorAll('[role=listbox]').length"
TOASTS = "() => [...document.querySelectorAll('[data-testid=toast-body]')].map(e => e.innerText)"
LAST = "() => document.activeElement === document.body"
DROPDOWN = "() => document.activeElement.closest('.block:has([role=combobox]:focus)')?.id || ''"
STEPS = 400


def tab_through(page: Page) -> list[str]:
    """Press Tab until the page has no further stop; the ids of the dropdowns that were passed."""
    passed = []
    page.tab.evaluate("document.activeElement.blur()")
    for _ in range(STEPS):
        page.tab.keyboard.press("Tab")
        assert page.tab.evaluate(OPEN_LISTS) == 0
        if page.tab.evaluate(LAST):
            return passed
        where = (
            "() => document.activeElement.matches('[role=combobox]') ? document.activeElement.closest('.block').id : ''"
        )
        passed += filter(None, [page.tab.evaluate(where)])
    pytest.fail(f"After {STEPS} steps Tab is still on the page.")


@pytest.mark.parametrize("name", ["Inspect", "Audit", "Train"])
def test_tab_passes_through_everything(page: DataPage, name: str) -> None:
    """No list opens, no error comes, and what was edited stays."""
    page.set_template("{# mine #}{% for m in messages %}{{ m.content }}{% endfor %}")
    page.choose("#strategy", "open-instruct")
    page.choose("#example", "answer starts")
    page.set_json([{"role": "user", "content": "Mine?"}, {"role": "assistant", "content": "Mine."}])
    shown = page.tab.input_value("#template-source textarea"), page.json(), page.revision
    page.tab.get_by_role("tab", name=name, exact=True).click()
    passed = tab_through(page)
    expected = {"Inspect": {"example"}, "Audit": {"data-example"}, "Train": {"train-example", "train-run"}}[name]
    assert expected & set(passed)
    page.tab.get_by_role("tab", name="Inspect", exact=True).click()
    assert (page.tab.input_value("#template-source textarea"), page.json(), page.revision) == shown
    assert page.tab.evaluate(TOASTS) == []


def test_the_first_stop_skips_to_the_tokens(page: DataPage) -> None:
    """Tab and Enter; the address keeps what is shown."""
    address = page.tab.url
    page.tab.evaluate("document.activeElement.blur()")
    page.tab.keyboard.press("Tab")
    assert page.tab.evaluate("document.activeElement.textContent") == "Skip to the tokens"
    page.tab.keyboard.press("Enter")
    assert page.tab.evaluate("document.activeElement.className") == "tv-body"
    assert page.tab.url == address


def focused(page: Page) -> str:
    """The label of what has the focus."""
    return str(
        page.tab.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent")
    )


def test_the_conversation_is_one_stop(page: DataPage) -> None:
    """Left and right go between a message's controls, up and down from text to text, out of a text at its ends.

    Tab comes back to the control that was used last.
    """
    page.set_json([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo", "thinking": "Hm"}])
    page.tab.get_by_role("tab", name="Messages").click()
    page.tab.focus("[aria-label='Content of message 0']")
    for key, label in (
        ("ArrowLeft", "Content of message 0"), ("Home", "Content of message 0"), ("ArrowLeft", "Remove: message 0"),
        ("ArrowLeft", "Move down: message 0"), ("Home", "Role of message 0"), ("ArrowLeft", "Role of message 0"),
        ("ArrowRight", "Move up: message 0"), ("ArrowDown", "Content of message 0"), ("End", "Content of message 0"),
        ("ArrowDown", "Content of message 1"), ("End", "Content of message 1"),
        ("ArrowDown", "thinking of message 1"), ("End", "thinking of message 1"), ("ArrowDown", "+ Add message"),
        ("ArrowUp", "thinking of message 1"), ("Shift+Tab", "Messages"), ("Tab", "thinking of message 1"),
    ):  # fmt: skip
        page.tab.keyboard.press(key)
        assert focused(page) == label, key
    page.tab.keyboard.press("Tab")
    assert focused(page).startswith("Template")


def test_a_message_that_is_moved_keeps_the_focus(page: DataPage) -> None:
    """Where it has gone to; one that is removed leaves it to the next."""
    page.set_json([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    page.tab.get_by_role("tab", name="Messages").click()
    for name, label, roles in (
        ("Move up: message 1", "Move up: message 0", ["assistant", "user"]),
        ("Move up: message 0", "Move up: message 0", ["assistant", "user"]),
        ("Remove: message 1", "Remove: message 0", ["assistant"]),
        ("Remove: message 0", "+ Add message", []),
    ):
        page.tab.get_by_label(name, exact=True).click()
        assert focused(page) == label
        assert page.tab.evaluate("[...document.querySelectorAll('.ce-row')].map(e => e.dataset.role)") == roles


def test_few_stops_lead_to_the_tokens(page: DataPage) -> None:
    """However many messages there are: the skip link, the tabs, what is chosen above, the conversation's two forms, its
    messages, the settings below it, the tools, and the tokens. Each group has one stop."""
    page.tab.wait_for_selector(".tv-others:visible")  # which comes with the comparison
    page.tab.evaluate("document.activeElement.blur()")
    stops = []
    while page.tab.evaluate("document.activeElement.className") != "tv-body":
        page.tab.keyboard.press("Tab")
        stops.append(focused(page).removesuffix(" ▼"))
    assert stops[:-1] == [
        "Skip to the tokens", "Inspect", "Model", "Messages", "Content of message 0", "Template", "‹",
    ]  # fmt: skip


def test_arrows_go_through_the_groups_of_the_page(page: DataPage) -> None:
    """The tabs, what is chosen above the conversation, the settings below it, the tools with what others get wrong."""
    page.compared()
    for start, keys in (
        ("#tabs [role=tab] >> nth=0", [("ArrowRight", "Audit"), ("End", "Models"), ("Home", "Inspect")]),
        ("#model input", [
            ("ArrowRight", "Trainer"), ("ArrowRight", "Example"), ("End", "Tools"), ("ArrowLeft", "Decode a warning"),
            ("Home", "Model"), ("ArrowLeft", "Model"),
        ]),
        ("#template-pane > button", [("ArrowDown", "What to train"), ("End", "Template inputs"), ("Home", "Template")]),
        (".tv-toolbar button >> nth=0", [("ArrowRight", "Trained ›"), ("End", "Share ▾")]),
    ):  # fmt: skip
        page.tab.focus(start)
        for key, label in keys:
            page.tab.keyboard.press(key)
            assert focused(page).strip().removesuffix(" ▼") == label, key
    page.tab.keyboard.press("Home")
    assert "get this wrong" in focused(page)
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_selector(".tv-others", state="hidden")
    page.tab.focus(".tv-body")
    page.tab.keyboard.press("Shift+Tab")
    assert focused(page) == "‹"


def test_a_tab_opens_by_enter(page: DataPage) -> None:
    """The arrows look at it only; Tab comes back to the one that is open."""
    page.tab.focus("#tabs [role=tab] >> nth=0")
    page.tab.keyboard.press("End")
    assert page.tab.locator(".bd-table").count() == 0
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_selector(".bd-table")
    page.tab.keyboard.press("Tab")
    page.tab.keyboard.press("Shift+Tab")
    assert focused(page) == "Models"


def test_a_dropdown_is_operated_by_keys_alone(page: DataPage) -> None:
    """The arrow down opens it, Enter chooses and stays; Escape leaves it as it was. Letters search, then arrows do not
    leave."""
    page.tab.focus("#strategy input")
    page.tab.keyboard.press("ArrowRight")
    assert page.tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"  # it is seen
    page.tab.keyboard.press("ArrowDown")
    page.tab.wait_for_selector("#example [role=option]")
    page.tab.keyboard.press("ArrowDown")
    with page.redrawn():
        page.tab.keyboard.press("Enter")
    first = page.tab.input_value("#example input")
    assert first
    before = page.revision
    assert focused(page) == "Example"
    page.tab.keyboard.press("ArrowRight")
    assert focused(page) == "Common mistakes"
    page.tab.keyboard.press("ArrowDown")
    page.tab.keyboard.press("Escape")
    page.tab.wait_for_function(f"({OPEN_LISTS})() === 0")  # it fades
    page.tab.focus("#strategy input")
    page.tab.keyboard.press("ArrowRight")
    page.tab.keyboard.type("tool")
    page.tab.keyboard.press("ArrowLeft")
    page.tab.keyboard.press("ArrowRight")
    assert focused(page) == "Example"
    assert page.revision == before
    with page.redrawn():
        page.tab.keyboard.press("Enter")
    assert "tool" in page.tab.input_value("#example input")
    page.tab.keyboard.type("two")
    with page.redrawn():
        page.tab.keyboard.press("Enter")
    assert "two" in page.tab.input_value("#example input")


@pytest.mark.parametrize("leave", ["Escape", "click"])
def test_a_list_that_is_opened_and_left_changes_nothing(page: DataPage, leave: str) -> None:
    """With the mouse: opened, looked at, left. The edited template, the strategy's options, the messages stay."""
    page.choose("#strategy", "open-instruct")
    page.set_template("{# mine #}{% for m in messages %}{{ m.content }}{% endfor %}")
    page.unfold("#template-pane")
    for number, dropdown in enumerate(("#model", "#template-choice", "#example", "#gallery", "#strategy")):
        before = page.revision
        with page.tab.expect_response("**/queue/join*"):
            page.tab.click(f"{dropdown} input")
            page.tab.wait_for_selector(f"{dropdown} [role=option]")
            if leave == "Escape":
                page.tab.keyboard.press("Escape")
            page.tab.click(".ms-heading h1")
        with page.redrawn():  # what was asked by leaving it is answered before this
            page.tab.fill(".ce-row textarea >> nth=0", f"Next, {number}?")
        assert page.revision == before + 1
        assert page.tab.input_value("#template-source textarea").startswith("{# mine #}")
        assert page.tab.input_value("#strategy input") == "open-instruct"
    assert page.tab.evaluate(TOASTS) == []


@pytest.mark.parametrize("opener", ["open-tools", "open-decode"])
def test_escape_closes_the_drawer(page: DataPage, opener: str) -> None:
    """Opened by a key it has the focus; closed, the button that opened it. What was typed stays, and it opens again."""
    for _ in range(2):
        page.tab.focus(f"#{opener}")
        page.tab.keyboard.press("Enter")
        page.tab.wait_for_function("() => document.activeElement.matches('#drawer.open .drawer-title')")
        page.unfold("#decode")
        page.tab.focus("#log textarea")
        page.tab.keyboard.type("a")
        page.tab.keyboard.press("Escape")
        page.tab.wait_for_selector("#drawer:not(.open)", state="attached")
        page.tab.wait_for_function("id => document.activeElement.id === id", arg=opener)
    assert page.tab.input_value("#log textarea") == "aa"


def test_a_list_in_the_drawer_closes_before_the_drawer(page: DataPage) -> None:
    """One Escape each; elsewhere Escape does not close the drawer."""
    page.unfold("#export")
    page.tab.click("#export [role=combobox] >> nth=0")
    page.tab.wait_for_selector("#export [role=option]")
    page.tab.keyboard.press("Escape")
    page.tab.wait_for_function(f"({OPEN_LISTS})() === 0")
    assert page.tab.locator("#drawer.open").count() == 1
    page.tab.focus(".tv-body")
    page.tab.keyboard.press("Escape")
    assert page.tab.locator("#drawer.open").count() == 1
    page.tab.focus("#export > button")
    page.tab.keyboard.press("Escape")
    page.tab.wait_for_selector("#drawer:not(.open)", state="attached")


def test_a_closed_drawer_has_no_stops(page: DataPage) -> None:
    """What lies outside the window cannot get the focus."""
    page.tab.evaluate("document.activeElement.blur()")
    for _ in range(STEPS):
        page.tab.keyboard.press("Tab")
        assert page.tab.evaluate("document.activeElement.closest('#drawer')?.id ?? null") is None
        if page.tab.evaluate(LAST):
            return
