"""The page in a real Chromium: what a person sees, types, points at and opens again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processors import image
from tests.support.browser import Page
from tests.support.fetch import axe_script
from tests.support.hub_server import HubServer

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

ROOT = Path(__file__).parents[3]
CHAT = [
    {"role": "system", "content": "You are a friendly helper."},
    {"role": "user", "content": "Hi?"},
    {"role": "assistant", "content": "Hello there."},
]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_it_opens_on_the_embedded_model(page: Page) -> None:
    """The first view needs no network, shows the embedded model, and trains the answers only."""
    assert page.tab.input_value("#model input") == "tiny-chat"
    assert "embedded model" in page.tab.inner_text("#model-info")
    assert page.trained_text() == "The capital of France is Paris.<|im_end|>Tuesday comes after Monday.<|im_end|>"
    trained = sum("trained" in classes for _, classes in page.tokens())
    assert page.count().startswith(f"{trained} of {len(page.tokens())} tokens are trained")
    assert page.verdict() == "Exact: only the two answers are trained"


def test_pointing_at_a_token_tells_all_about_it(page: Page) -> None:
    """Hovering shows id, exact text, span, origin and reason, and marks the template line that wrote it."""
    page.unfold("#template-pane")
    special = page.tab.locator(".tv-body .tv-token.special").first
    special.hover()
    detail = page.detail()
    assert detail["text"] == '"<|im_start|>"'
    assert detail["characters"] == "0–12"
    assert detail["origin"].startswith("template line ")
    assert detail["training"].startswith("not trained")
    line = detail["origin"].removeprefix("template line ")
    assert page.tab.get_attribute("#template-source textarea", "data-lines") == line
    answer = page.tab.locator(".tv-body .tv-token.trained").first
    answer.hover()
    assert page.detail()["origin"] == "message 2 · content"
    assert page.detail()["training"] == "trained: the assistant's own words"


def test_the_keyboard_alone_reaches_every_token(page: Page) -> None:
    """One tab stop; arrows, Home, End, n, p and s move; a live line speaks; focus is visible."""
    page.set_json([{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "\nYes.\nNo."}, *CHAT[1:]])
    page.tab.focus(".tv-body")
    live = page.tab.locator(".tv-live")
    page.tab.keyboard.press("Home")
    assert live.inner_text().startswith("Token 0 of ")
    page.tab.keyboard.press("ArrowRight")
    assert live.inner_text().startswith("Token 1 of ")
    page.tab.keyboard.press("End")
    assert live.inner_text().startswith(f"Token {len(page.tokens()) - 1} of ")
    page.tab.keyboard.press("Home")
    page.tab.keyboard.press("n")
    first = page.detail()["token"]
    page.tab.get_by_role("button", name="Trained ›").click()
    assert page.detail()["token"] != first
    page.tab.get_by_role("button", name="‹", exact=True).click()
    assert page.detail()["token"] == first
    page.tab.focus(".tv-body")
    assert "trained: " in page.detail()["training"]
    page.tab.keyboard.press("n")
    assert page.detail()["token"] != first
    page.tab.keyboard.press("p")
    assert page.detail()["token"] == first
    page.tab.keyboard.press("Home")
    page.tab.keyboard.press("ArrowDown")
    below = page.tab.locator(".tv-token.current").bounding_box()
    assert below["y"] > page.tab.locator(".tv-token").first.bounding_box()["y"] + 4
    outline = page.tab.evaluate("getComputedStyle(document.querySelector('.tv-body')).outlineStyle")
    assert outline == "solid"


def test_editor_and_json_stay_in_step(page: Page) -> None:
    """An edit of a message changes the JSON and the view; an edit of the JSON changes the rows."""
    with page.redrawn():
        page.tab.fill(".ce-row:nth-of-type(3) textarea", "It is Paris!")
    assert "It is Paris!<|im_end|>" in page.trained_text()
    assert page.json()[2] == {"role": "assistant", "content": "It is Paris!"}
    page.set_json(CHAT)
    page.tab.get_by_role("tab", name="Messages").click()
    assert page.tab.locator(".ce-row").count() == 3
    with page.redrawn():
        page.tab.get_by_role("button", name="Remove: message 0").click()
    assert [message["role"] for message in page.json()] == ["user", "assistant"]
    page.tab.get_by_role("tab", name="Messages").click()
    with page.redrawn():
        page.tab.get_by_role("button", name="Add message").click()
    assert len(page.json()) == 3


def test_pasting_with_the_keyboard_counts_as_an_edit(page: Page) -> None:
    """Ctrl+V into the JSON box redraws the view: no key press of a character is needed."""
    page.tab.get_by_role("tab", name="JSON").click()
    page.tab.evaluate("text => navigator.clipboard.writeText(text)", json.dumps(CHAT))
    page.tab.click("#conversation textarea")
    page.tab.keyboard.press("Control+A")
    with page.redrawn():
        page.tab.keyboard.press("Control+V")
    assert page.trained_text() == "Hello there.<|im_end|>"


def test_bad_json_says_where_and_loses_nothing(page: Page) -> None:
    """A broken edit is explained by line and column, stays in the box, and can be mended."""
    page.set_json('[{"role": "user",')
    assert "not JSON" in page.failure()
    assert "line 1, column" in page.failure()
    assert page.tab.input_value("#conversation textarea") == '[{"role": "user",'
    page.set_json([{"content": "no role"}])
    assert "message 0 has no `role`" in page.failure()
    page.set_json(CHAT)
    assert "train" in page.count()


def test_template_options_write_into_the_json(page: Page) -> None:
    """The generation prompt's box sets the keyword, ends the text in a header, and raises the finding."""
    page.set_json(CHAT)
    page.unfold("#options")
    with page.redrawn():
        page.tab.check("#gen-prompt input")
    assert page.json()["add_generation_prompt"] is True
    assert "trailing_generation_prompt" in page.findings()
    with page.redrawn():
        page.tab.fill("#tools textarea", "not json")
    assert "Tools is not JSON" in page.failure()


def test_a_policy_changes_what_trains(page: Page) -> None:
    """Training every token colours all but the first, and the page says whose text that is."""
    page.unfold("#training")
    page.tab.click("#turns input")
    with page.redrawn():
        page.tab.get_by_role("option", name="Every token").click()
    total = len(page.tokens())
    assert page.count().startswith(f"{total - 1} of {total} tokens are trained")
    assert page.verdict() == "Exact: text of others is trained"
    assert "foreign_text_in_loss" in page.findings()


def test_the_template_can_be_edited_and_reset(page: Page) -> None:
    """An edit renders at once; a mistake names its line; Reset brings the model's template back."""
    before = page.tokens()
    page.set_template("{# mine #}\n" + CHATML)
    assert page.tokens()[0][0] == "<|im_start|>"
    page.set_template("{% for m in messages %}\n{{ m.content }")
    assert "line 2" in page.failure()
    assert page.tab.get_attribute("#template-source textarea", "data-lines") == "2"
    assert "line 2" in page.tab.inner_text(".template-error")
    with page.redrawn():
        page.tab.click("#reset")
    assert page.tokens() == before
    assert not page.tab.is_visible(".template-error")


def test_an_endless_template_is_stopped_and_the_page_lives(page: Page) -> None:
    """A hostile template ends in a named error, and the next edit works."""
    page.set_template("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}")
    assert "ran for more than" in page.failure()
    page.set_template(CHATML)
    assert "train" in page.count()


def test_a_refused_conversation_names_the_line_and_the_cause(page: Page) -> None:
    """A template that refuses system messages: its own words, its line, and the finding with a remedy."""
    refusing = "{% if messages[0].role == 'system' %}\n{{ raise_exception('No system here') }}{% endif %}" + CHATML
    page.set_template(refusing)
    assert "No system here" in page.failure()
    assert "line 2" in page.failure()
    assert page.findings() == ["system_unsupported"]


def test_a_finding_leads_to_its_token(page: Page) -> None:
    """Clicking a finding selects its token, scrolls to it, and puts the keyboard there."""
    long = [{"role": "user", "content": f"Line {i}.\n" * 5} for i in range(20)]
    page.set_json([*long, {"role": "user", "content": "Go on?"}, {"role": "assistant", "content": "\nYes."}])
    assert "boundary_merge" in page.findings()
    page.tab.locator(".tv-finding-head", has_text="One token spans two texts").first.click()
    current = page.tab.locator(".tv-token.current")
    assert "straddler" in current.get_attribute("class")
    box, body = current.bounding_box(), page.tab.locator(".tv-body").bounding_box()
    assert body["y"] <= box["y"] <= body["y"] + body["height"]
    assert page.tab.evaluate("document.activeElement.className") == "tv-body"


def test_the_states_are_told_apart_without_colour(page: Page) -> None:
    """Trained: underlined; wrong: underlined twice; missing: a dashed frame; shared: hatched; special: a frame."""
    page.set_json([{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "\nYes."}])
    style = (
        "e => { const s = getComputedStyle(e);"
        " return [s.borderBottomStyle + s.borderBottomWidth, s.outlineStyle, s.borderTopWidth, s.backgroundImage]; }"
    )

    def look(selector: str) -> list[str]:
        found: list[str] = page.tab.locator(f".tv-body .tv-token{selector}").first.evaluate(style)
        return found

    plain, trained = (
        look(":not(.trained):not(.special):not(.straddler)"),
        look(".trained:not(.special):not(.straddler)"),
    )
    assert plain == ["solid0px", "none", "0px", "none"]
    assert trained[0] == "solid2px"
    assert look(".straddler")[3].startswith("repeating-linear-gradient")
    assert look(".special:not(.trained)")[2] == "1px"
    page.compared().filter(has_text="No masking").locator("input").check()
    assert look(".wrong:not(.special)")[0] == "double4px"
    page.compared().filter(has_text="NVIDIA examples").locator("input").check()
    assert look(".missing")[1] == "dashed"


def test_ids_and_text_light_each_other(page: Page) -> None:
    """With ids shown, pointing at an id marks its token, and the other way round; whitespace can be shown."""
    page.tab.get_by_role("button", name="Ids", exact=True).click()
    assert page.tab.get_by_role("button", name="Ids", exact=True).get_attribute("aria-pressed") == "true"
    page.tab.locator(".tv-id").nth(5).hover()
    assert "hover" in page.tab.locator(".tv-body .tv-token").nth(5).get_attribute("class")
    page.tab.locator(".tv-body .tv-token").nth(7).hover()
    assert "hover" in page.tab.locator(".tv-id").nth(7).get_attribute("class")
    mark = "getComputedStyle(document.querySelector('.tv-body .sp')).backgroundImage"
    assert page.tab.evaluate(mark) == "none"
    page.tab.get_by_role("button", name="Whitespace").click()
    assert page.tab.evaluate(mark) != "none"


def test_a_report_for_an_issue_is_copied(page: Page) -> None:
    """As Markdown: the verdict, versions, the render, the other trainers, findings, every token, and the ids."""
    page.set_json([{"role": "user", "content": "a|b `c`"}, {"role": "assistant", "content": "\nYes."}])
    page.compared()
    text = page.share("Copy issue report")
    assert text.startswith("### Exact: only the answer is trained, but one token spans two texts\n")
    assert "\n- Transformers version: " in text
    assert "- **warning: One token spans two texts** (`boundary_merge`, token " in text
    assert "\n| Unsloth | train_on_responses_only | 0 | trains nothing: the answer is missing |\n" in text
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) == len(page.tokens())
    assert all(line.replace("\\|", "").count("|") == 6 for line in rows)
    assert sum("| trained |" in line for line in rows) == sum("trained" in classes for _, classes in page.tokens())
    assert "127.0.0.1" not in text
    assert "eproduction" not in text


def test_the_report_asks_the_trainer_that_is_chosen(page: Page) -> None:
    """With a script that needs its package only; of another trainer the package is named."""
    page.compared().filter(has_text="No masking").locator("input").check()
    text = page.share("Copy issue report")
    assert "\nReproduction:\n\n```python\n# Needs trl " in text
    assert "\nSETTINGS = {}\n" in text
    page.compared().filter(has_text="open-instruct").locator("input").check()
    assert "\nNo reproduction: it has to call open-instruct" in page.share("Copy issue report")


COPIED = """async () => {
  const [item] = await navigator.clipboard.read(), blob = await item.getType('image/png');
  const image = await createImageBitmap(blob), canvas = new OffscreenCanvas(image.width, image.height);
  const paint = canvas.getContext('2d');
  paint.drawImage(image, 0, 0);
  const {data} = paint.getImageData(0, 0, image.width, image.height), colours = {};
  for (let i = 0; i < data.length; i += 4) {
    const name = '#' + [0, 1, 2].map(k => data[i + k].toString(16).padStart(2, '0')).join('');
    colours[name] = (colours[name] || 0) + 1;
  }
  return {types: item.types, bytes: blob.size, width: image.width, height: image.height, colours};
}"""


@pytest.mark.parametrize(
    ("theme", "card", "trained", "wrong"),
    [("light", "#ffffff", "#bfeadd", "#ffd5d2"), ("dark", "#141a21", "#0f4a40", "#5a1f1c")],
)
def test_a_picture_of_the_tokens_is_copied(page: Page, theme: str, card: str, trained: str, wrong: str) -> None:
    """As a PNG, in the colours of the theme: filled are the tokens that the trainer chosen trains."""
    page.compared().filter(has_text="No masking").locator("input").check()
    page.tab.click(".tv-menu > summary")
    page.tab.get_by_role("button", name="Copy image").click()
    page.tab.wait_for_selector(".tv-menu-items >> text=Copied")
    copied = page.tab.evaluate(COPIED)
    assert copied["types"] == ["image/png"]
    assert (copied["width"], 20_000 < copied["bytes"] < 500_000) == (2000, True)
    area = copied["width"] * copied["height"]
    assert copied["colours"][card] > 0.5 * area
    assert copied["colours"][trained] > 0.005 * area
    assert copied["colours"][wrong] > 0.01 * area


def test_a_browser_that_copies_no_pictures_says_so(page: Page) -> None:
    """On the button, where the click was."""
    page.tab.evaluate("() => { ClipboardItem.supports = type => type !== 'image/png'; }")
    page.tab.evaluate("() => { navigator.clipboard.write = () => Promise.reject(new Error('no')); }")
    page.tab.click(".tv-menu > summary")
    page.tab.get_by_role("button", name="Copy image").click()
    page.tab.wait_for_selector(".tv-menu-items >> text=Refused: this browser cannot copy image/png")


def test_the_tour_shows_three_failures(page: Page) -> None:
    """Each with what to look at, pointing at a token of it; no warning means no loss of what else was there."""
    with page.redrawn():
        page.tab.click("#tour")
    for number, code in ((1, "boundary_merge"), (2, "stop_token_not_trained"), (3, "marker_not_found")):
        assert page.tab.locator(".tv-rows").inner_text().startswith(f"Row {number} of 3")
        assert len(page.tab.locator(".tv-row-title").inner_text()) > 40
        assert any(code in finding for finding in page.findings())
        assert page.detail()
        if number < 3:
            with page.redrawn():
                page.tab.click(".tv-next")


def test_ids_and_labels_can_be_copied(page: Page) -> None:
    """The clipboard gets JSON lists: the ids, and the labels with -100 wherever nothing trains."""
    ids, labels = json.loads(page.share("Copy ids")), json.loads(page.share("Copy labels"))
    trained = ["trained" in classes for _, classes in page.tokens()]
    assert len(ids) == len(trained)
    assert labels == [id if bit else -100 for id, bit in zip(ids, trained, strict=True)]


def test_a_link_reopens_the_same_view(page: Page, context: Any) -> None:
    """The address holds model, template and conversation; another tab shows the same tokens."""
    page.set_template("{# mine #}" + CHATML)
    page.set_json({"messages": CHAT, "add_generation_prompt": True})
    other = Page(context.new_page(), page.address)
    other.tab.goto(page.tab.url)
    other.tab.wait_for_function("() => document.querySelector('.token-view')?.dataset.state === 'shown'")
    assert other.tokens() == page.tokens()
    other.unfold("#template-pane")
    assert other.tab.input_value("#template-source textarea").startswith("{# mine #}")
    assert other.json() == {"messages": CHAT, "add_generation_prompt": True}
    other.tab.close()


def test_a_damaged_link_says_so(page: Page, context: Any) -> None:
    """A cut link is named as such; the page still works."""
    other = Page(context.new_page(), page.address)
    other.open("#" + page.tab.url.split("#")[1][:40])
    assert "damaged" in other.failure() or "cut short" in other.failure()
    other.unfold("#template-pane")
    with other.redrawn():
        other.tab.click("#reset")
    assert "train" in other.count()
    other.tab.close()


def test_switching_the_model_shows_its_commit(page: Page, hub: HubServer) -> None:
    """A hub model is loaded with its own template; its commit is pinned and shown."""
    files = {path.name: path.read_bytes() for path in (ROOT / "models/tiny-chat").glob("*token*.json")}
    files["chat_template.jinja"] = CHATML.encode()
    commit = hub.add("someone/chat", files).refs["main"]
    page.set_model("someone/chat")
    assert commit in page.tab.inner_text("#model-info")
    page.unfold("#template-pane")
    assert page.tab.input_value("#template-source textarea") == CHATML
    page.set_model("someone/nothing")
    assert "someone/nothing" in page.failure()
    page.set_model("tiny-chat")
    assert "train" in page.count()


def test_a_base_model_asks_for_a_template(page: Page, hub: HubServer) -> None:
    """Without a template the page says so, offers the built-in ones, and works once one is chosen."""
    files = {path.name: path.read_bytes() for path in (ROOT / "models/tiny-chat").glob("*token*.json")}
    hub.add("someone/base", files)
    page.set_model("someone/base")
    assert "no chat template" in page.failure()
    page.unfold("#template-pane")
    page.tab.click("#template-choice input")
    with page.redrawn():
        page.tab.get_by_role("option", name="zephyr").click()
    assert "<|user|>" in "".join(text for text, _ in page.tokens())


@pytest.mark.parametrize(
    "nasty",
    [
        "<script>window.pwned=1</script>",
        "</span><img src=x onerror=window.pwned=1>",
        "${window.pwned=1}",
        "{{value}}",
        "`${window.pwned=1}`",
        "\u202eevil\u0000",
    ],
)
def test_no_text_is_ever_run(page: Page, nasty: str) -> None:
    """Markup and code in content, role, a field's name and the template are shown as text, nothing of it runs."""
    page.set_json(
        [{"role": "user" + nasty, "content": nasty, "k" + nasty: nasty}, {"role": "assistant", "content": nasty}]
    )
    page.tab.get_by_role("tab", name="Messages").click()
    page.tab.locator(".tv-token.trained").first.hover()
    if "\u0000" not in nasty:
        assert nasty in page.trained_text()
    page.set_template("{% raw %}" + nasty + "{% endraw %}{% for m in messages %}{{ m.content }}{% endfor %}")
    page.set_template("{{ raise_exception(messages[0].content) }}")
    page.set_template(nasty + "{% broken")
    page.set_model(nasty)
    assert page.tab.evaluate("window.pwned") is None


def test_a_long_conversation_stays_usable(page: Page) -> None:
    """Some 32,000 tokens are drawn, jumped through and pointed at."""
    turns = [
        {"role": "user", "content": "What comes after Monday? " * 60},
        {"role": "assistant", "content": "Tuesday. " * 300},
    ]
    page.set_json(turns * 34)
    assert len(page.tokens()) > 30_000
    page.tab.focus(".tv-body")
    page.tab.keyboard.press("End")
    assert page.detail()["token"].startswith(f"{len(page.tokens()) - 1} of ")
    page.tab.keyboard.press("p")
    assert "trained" in page.detail()["training"]


def test_the_first_seeds_log_is_shown_from_its_ids(page: Page, real_model_dir: Callable[[str], Path]) -> None:
    """The logged example, pasted as a conversation, gives the logged ids back and the finding that explains the log."""
    from tests.oracles.seed_log import LLAMA3_ALWAYS_PROMPTS, conversation_of, logged_ids

    folder = real_model_dir("llama3_1")
    ids = logged_ids()
    page.set_model(str(folder))
    page.set_template(LLAMA3_ALWAYS_PROMPTS)
    page.set_json(conversation_of(ids, folder))
    assert json.loads(page.share("Copy ids")) == ids
    assert "trailing_generation_prompt" in page.findings()


def test_other_trainers_are_compared(page: Page) -> None:
    """By their names, each with a strip and a verdict; choosing one recolours; d walks what it does wrong."""
    page.set_json([*CHAT[1:], {"role": "user", "content": "And?"}, {"role": "assistant", "content": "That is all."}])
    truth = page.trained_text()
    page.tab.wait_for_selector(".comparison:not(.stale) .cp-row")
    assert page.tab.locator(".cp-row >> visible=true").count() == 5
    rows = page.compared()
    names = rows.locator("b").all_inner_texts()
    assert names[0] == "Exact"
    assert {"No masking", "TRL", "Unsloth", "axolotl", "TRL 0.19 and older", "NVIDIA examples", "home-llm"} <= set(
        names
    )
    assert "bos" in page.tab.locator(".cp-folded").text_content()
    chosen = rows.filter(has_text="NVIDIA examples")
    assert "misses 2 tokens: the stop tokens" in chosen.inner_text()
    chosen.locator("input").check()
    assert page.verdict() == "NVIDIA examples misses 2 tokens: the stop tokens"
    assert page.trained_text() == truth.replace("<|im_end|>", "")
    assert [text for text, classes in page.tokens() if "missing" in classes] == ["<|im_end|>"] * 2
    page.tab.get_by_role("button", name="Next problem").click()
    assert page.detail()["text"] == '"<|im_end|>"'
    assert page.detail()["should be"] == "trained: the stop token of the turn"
    page.tab.focus(".tv-body")
    page.tab.keyboard.press("Home")
    page.tab.keyboard.press("d")
    assert page.detail()["text"] == '"<|im_end|>"'
    rows.first.locator("input").check()
    assert page.trained_text() == truth
    assert not page.tab.is_visible("text=Next problem")
    rows.filter(has_text="No masking").locator("canvas").click(position={"x": 1, "y": 5})
    assert page.detail()["token"].startswith("0 of ")


def test_another_trainer_shown_leaves_the_comparison_as_it_is(page: Page) -> None:
    """The tokens are the same: its first row is the one that is shown now, and the others can be chosen."""
    page.compared()
    page.choose("#strategy", "No masking")
    rows = page.compared()
    assert rows.locator("b").all_inner_texts()[:2] == ["No masking", "No masking"]
    rows.filter(has_text="NVIDIA examples").locator("input").check()
    assert page.verdict() == "NVIDIA examples misses 2 tokens: the stop tokens"
    rows.first.locator("input").check()
    assert page.verdict().startswith("No masking trains every token")


def test_an_edit_keeps_the_trainer_chosen(page: Page) -> None:
    """Of those compared, once they are compared over the new text."""
    page.compared().filter(has_text="No masking").locator("input").check()
    page.set_json(CHAT)
    page.tab.wait_for_selector(".comparison:not(.stale) .cp-row")
    assert page.verdict().startswith("No masking trains every token")
    assert page.compared().filter(has_text="No masking").locator("input").is_checked()


def test_a_long_conversation_is_compared_on_request(page: Page) -> None:
    """A click says how many tokens there are, and brings the trainers."""
    page.set_json([{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello there. " * 1500}])
    offer = page.tab.get_by_role("button", name=re.compile(r"Compare over [\d,]+ tokens"))
    offer.click()
    page.tab.wait_for_selector(".comparison .cp-row")
    assert not offer.is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_to_mend(page: Page, theme: str) -> None:
    """Contrast, names, roles and labels of our own parts of the page hold in both themes."""
    page.set_json([{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "\nYes."}])
    page.compared()
    page.tab.focus(".tv-body")
    page.tab.keyboard.press("n")
    page.tab.evaluate(axe_script())
    for tab in ("JSON", "Messages"):
        page.tab.get_by_role("tab", name=tab).click()
        found = page.tab.evaluate(
            "parts => axe.run({include: parts.map(part => [part])}, {resultTypes: ['violations']})",
            [
                "#view",
                "#comparison",
                "#findings",
                "#editor",
                "#conversation",
                "#template-source",
                ".ms-heading",
                ".report",
            ],
        )
        assert [(v["id"], [node["html"] for node in v["nodes"][:3]]) for v in found["violations"]] == []


def test_a_pasted_log_is_explained(page: Page, real_model_dir: Callable[[str], Path]) -> None:
    """The first seed's log: ids to copy and the cause below the box, the example in the view; noise is refused."""
    from tests.oracles.seed_log import logged_ids

    page.set_model(str(real_model_dir("llama3_1")))
    page.tab.click("#open-decode")
    page.tab.fill("#log textarea", "nothing of the kind")
    page.tab.click("#explain")
    page.tab.wait_for_function(
        "() => document.querySelector('#decode-report').innerText.includes('no list of token ids')"
    )
    page.tab.fill("#log textarea", f"{logged_ids()}\nwarning! example had no assistant response in it!")
    with page.redrawn():
        page.tab.click("#explain")
    said = page.tab.inner_text("#decode-report")
    assert "Its ids are exactly the printed ones." in said
    assert "suffix_includes_next_header" in said
    codes = page.tab.locator("#decode-report .rp-code pre").all_inner_texts()
    assert [text.strip() for text in codes[1:]] == ["128006,78191,128007,271", "128009"]
    assert codes[0].strip() == "--prefix_ids 128006,78191,128007,271 --suffix_ids 128009"
    assert "exactly the printed ones" in page.tab.inner_text(".tv-notice")
    assert "trailing_generation_prompt" in page.findings()
    page.tab.locator(".tv-more summary").first.click()
    assert page.tab.locator(".tv-more p").first.is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 420])
def test_it_fits_every_screen(page: Page, theme: str, width: int) -> None:
    """No sideways scrolling on a desk or a phone, in either theme."""
    page.tab.focus(".tv-body")
    page.tab.keyboard.press("n")
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
    assert page.tab.locator(".tv-detail").bounding_box()["width"] <= width
    page.tab.screenshot(
        path=str(Path(__file__).parents[2] / "screenshots" / f"whole_{theme}_{width}.png"), full_page=True
    )
    page.tab.set_viewport_size({"width": 1400, "height": 900})


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_the_first_screen_shows_that_trainers_are_wrong(page: Page, width: int, height: int) -> None:
    """Beside the exact verdict, without scrolling; a click colours what one of them does wrong, and says it."""
    tab = page.tab
    tab.set_viewport_size({"width": width, "height": height})
    page.open()
    others = tab.locator(".tv-others")
    others.wait_for()
    runs = page.compared().count() - 1
    wrong = tab.locator(".cp-verdict.wrong").count()
    assert others.inner_text() == f"✗ {wrong} of {runs} other trainers get this wrong ›"
    tab.evaluate("scrollTo(0, 0)")
    assert others.bounding_box()["y"] + others.bounding_box()["height"] <= height
    if width > 1000:
        assert tab.locator(".cp-verdict.wrong").first.bounding_box()["y"] < height - 40
    others.click()
    assert page.verdict().startswith("No masking")
    assert tab.locator(".tv-body .tv-token.wrong").count() > 10
    assert tab.locator(".cp-row").filter(has_text="No masking").locator("input").is_checked()
    assert not others.is_visible()
    page.compared().nth(0).locator("input").check()
    assert others.is_visible()


def test_an_empty_box_offers_a_beginning(page: Page) -> None:
    """In the place of the verdict: what can be pasted, and three chips; a message can be added, too."""
    tab = page.tab
    page.set_json("")
    assert tab.inner_text(".tv-hint h2") == "Paste a conversation, or load an example."
    assert tab.locator(".tv-failure").count() == 0
    assert "JSONL" in tab.get_attribute("#conversation textarea", "placeholder")
    assert tab.locator(".tv-chips button").all_inner_texts() == ["Tool call", "Thinking", "My trainer's warning"]
    for chip, content in (("Tool call", "tool_calls"), ("Thinking", "reasoning_content")):
        with page.redrawn():
            tab.get_by_role("button", name=chip, exact=True).click()
        assert content in json.dumps(page.json())
        assert tab.input_value("#example input").lower().startswith(chip.lower())
        page.set_json("")
    tab.get_by_role("button", name="My trainer's warning").click()
    tab.locator("#log textarea").wait_for(state="visible")
    tab.locator("#drawer .toggle-button").click()
    tab.get_by_role("tab", name="Messages").click()
    assert tab.inner_text(".ce-hint") == "Paste a conversation into the JSON tab, or add a message."
    with page.redrawn():
        tab.click(".ce-add")
    with page.redrawn():
        tab.fill(".ce-row textarea", "Hi?")
    assert [message["content"] for message in page.json()] == ["Hi?"]


def test_an_image_is_folded_into_one_chip(page: Page) -> None:
    """It says the size and the tokens, shows the image small, opens by a click, and is one step for the arrows."""
    asked = {"role": "user", "content": [{"type": "image", "image": image(56, 84)}, {"type": "text", "text": "What?"}]}
    page.set_model("bytes-vision")
    page.set_json([asked, {"role": "assistant", "content": "Noise."}])
    chip = page.tab.locator(".tv-image > .tv-button")
    chip.wait_for()
    assert chip.inner_text().strip() == "Image 56 × 84 · 6 tokens"
    assert chip.locator("img").evaluate("node => node.complete && node.naturalWidth") == 84
    pads = page.tab.locator(".tv-image > .tv-token")
    assert (pads.count(), pads.first.is_visible()) == (6, False)
    page.tab.locator(".tv-body").focus()
    page.tab.keyboard.press("Home")
    for _ in range(7):
        page.tab.keyboard.press("ArrowRight")
    assert page.detail()["text"] == '"<|image_pad|>"'
    assert page.detail()["origin"].endswith("in the place of media")
    page.tab.keyboard.press("ArrowRight")
    assert page.detail()["text"] == '"<|vision_end|>"'
    chip.click()
    assert pads.first.is_visible()
    pads.nth(3).click()
    assert page.detail()["training"].startswith("not trained")
