"""How fast the page is, against the same page built on gr.HighlightedText, in the same run.

Painted: from a click that sends 500, 8,000 or 32,000 tokens to the second animation frame after the last of them is in
the document. Opened: from the request to the first token on the screen, and what the page has asked for until then.
Edited: from a keystroke in a chat of 7,400 tokens to the frame that shows its tokens. The peer's page has a box for the
conversation, the same inspection behind it, and shows its tokens with gr.HighlightedText. Prints the medians and their
range, and as its last line one JSON object: the peer's medians over ours.

    python benchmarks/page.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

SIZES = (500, 8_000, 32_000)
EDITED = 7_400
VIEWS = {"ours": ".tv-body .tv-token", "peer": "span.token-container"}
BOXES = {"ours": "#conversation textarea", "peer": "#peer-conversation textarea"}
Figures = dict[str, dict[str, list[float]]]
"""The measurements by what was measured and whose page it was."""

_CLICK = """([button, root, token, count]) => new Promise(done => {
  const drawn = () => document.querySelectorAll(root + ' ' + token).length;
  const start = performance.now();
  document.querySelector(button).click();
  const look = () => {
    if (drawn() >= count) requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
    else requestAnimationFrame(look);
  };
  look();
})"""
_EDIT = """([box, token, text, mark]) => new Promise(done => {
  const area = document.querySelector(box);
  const shown = () => document.querySelector(token)?.closest('.tv-body, .block')?.textContent.includes(mark);
  Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set.call(area, text);
  const start = performance.now();
  area.dispatchEvent(new InputEvent('input', {bubbles: true}));
  const look = () => {
    if (shown()) requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
    else requestAnimationFrame(look);
  };
  look();
})"""
_OPENED = """token => {
  const is = () => document.querySelector(token);
  const look = () => is() ? window.firstToken = performance.now() : requestAnimationFrame(look);
  look();
}"""
_ASKED = """() => {
  const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  const files = all.filter(one => !/queue|heartbeat/.test(one.name));
  return {requests: files.length, kilobytes: files.reduce((sum, one) => sum + one.encodedBodySize, 0) / 1000};
}"""


def conversation(size: int, mark: str = "") -> list[dict[str, str]]:
    """A chat of at least `size` tokens on the embedded model; the first answer begins with `mark`."""
    user = {"role": "user", "content": "Hello! What is the capital of France, and what comes after Monday?\n"}
    answer = "The capital of France is Paris. Tuesday comes after Monday.\n"
    turns = [turn for _ in range(size // 38 + 1) for turn in (user, {"role": "assistant", "content": answer})]
    turns[1] = {"role": "assistant", "content": mark + answer}
    return turns


def cut(packed: str, size: int) -> str:
    """The packed view of the first `size` tokens."""
    data = json.loads(packed)
    for name in ("texts", "ids", "starts", "ends", "classes", "turns", "reasons", "tokenOrigins"):
        data[name] = data[name][:size]
    if len(data["ids"]) != size:
        raise ValueError(f"the conversation has only {len(data['ids'])} tokens, fewer than {size}")
    return json.dumps(data, ensure_ascii=False)


def build(values: dict[int, str]) -> Any:
    """A page with both views and a button for each size."""
    import gradio as gr

    from ui.parts.token_view import build_token_view

    with gr.Blocks() as demo:
        clear = gr.Button("clear", elem_id="clear")
        ours, peer = build_token_view(elem_id="ours"), gr.HighlightedText(elem_id="peer")
        clear.click(lambda: ("", []), None, [ours, peer], show_progress="hidden")
        for size, value in values.items():
            spans = highlighted(json.loads(value))
            gr.Button(f"ours {size}", elem_id=f"ours-{size}").click(
                lambda value=value: value, None, ours, show_progress="hidden"
            )
            gr.Button(f"peer {size}", elem_id=f"peer-{size}").click(
                lambda spans=spans: spans, None, peer, show_progress="hidden"
            )
    return demo


def highlighted(data: dict[str, Any]) -> list[tuple[str, str]]:
    """The tokens of a packed view for gr.HighlightedText: without line ends, at which it splits a token in two."""
    bits = (int(each, 16) & 1 for each in data["classes"])
    return [
        (text.replace("\n", "⏎"), "trained" if bit else "not") for text, bit in zip(data["texts"], bits, strict=True)
    ]


def build_peer() -> Any:
    """The page that a user of gradio's own components would write: a conversation and its tokens."""
    import gradio as gr

    import inspector
    from ui.parts.token_view import pack

    model = inspector.load("tiny-chat")

    def show(text: str) -> list[tuple[str, str]]:
        return highlighted(json.loads(pack(inspector.inspect(model, json.loads(text)), notices=[], link="")))

    example = (ROOT / "examples" / "01-two-turns.json").read_text(encoding="utf-8")
    with gr.Blocks() as demo:
        box = gr.Textbox(example, label="Conversation", lines=10, elem_id="peer-conversation")
        tokens = gr.HighlightedText(elem_id="peer")
        box.input(show, box, tokens, show_progress="hidden", trigger_mode="always_last")
        demo.load(show, box, tokens, show_progress="hidden")
    return demo


def packed_views() -> dict[int, str]:
    """What the server sends, by size."""
    import inspector
    from ui.parts.token_view import pack

    model = inspector.load("tiny-chat")
    whole = pack(inspector.inspect(model, conversation(max(SIZES))), notices=[], link="")
    return {size: cut(whole, size) for size in SIZES}


def paint(browser: Any, address: str, repeats: int) -> Figures:
    """Milliseconds to paint tokens of each size, both views in turns."""
    tab = _opened(browser, address)
    tab.wait_for_selector("#ours .token-view", state="attached")
    figures: Figures = {f"paint_{size}": {view: [] for view in VIEWS} for size in SIZES}
    for size in SIZES:
        for _ in range(repeats):
            for view, token in VIEWS.items():
                tab.click("#clear")
                tab.wait_for_function("s => !document.querySelectorAll(s).length", arg=f"#{view} {token}")
                took = tab.evaluate(_CLICK, [f"#{view}-{size}", f"#{view}", token, size])
                figures[f"paint_{size}"][view].append(took)
    tab.close()
    return figures


def open_and_edit(browser: Any, addresses: dict[str, str], repeats: int) -> Figures:
    """What opening costs, and an edit of a long chat; both pages in turns."""
    names = ("first_token", "requests", "kilobytes", f"edit_{EDITED}")
    figures: Figures = {name: {view: [] for view in VIEWS} for name in names}
    for _ in range(repeats):
        for view, address in addresses.items():
            context = browser.new_context(viewport={"width": 1400, "height": 900})  # with nothing in its cache
            context.add_init_script(f"({_OPENED})({json.dumps(VIEWS[view])})")
            tab = _opened(context, address)
            tab.wait_for_function("window.firstToken")
            figures["first_token"][view].append(tab.evaluate("window.firstToken"))
            if view == "ours":
                tab.wait_for_selector(".cp-row")
            for name, value in tab.evaluate(_ASKED).items():
                figures[name][view].append(value)
            if view == "ours":
                tab.get_by_role("tab", name="JSON").click()
            for mark in "QZ":  # letters that no other text has: the first fills the box, the second is an edit
                text = json.dumps(conversation(EDITED, mark + " "))
                took = tab.evaluate(_EDIT, [BOXES[view], VIEWS[view], text, mark])
            figures[f"edit_{EDITED}"][view].append(took)
            context.close()
    return figures


def _opened(browser: Any, address: str) -> Any:
    tab = (
        browser.new_page(viewport={"width": 1400, "height": 900})
        if hasattr(browser, "contexts")
        else browser.new_page()
    )
    tab.set_default_timeout(120_000)
    tab.goto(address)
    return tab


def served(build_page: Callable[[], Any]) -> tuple[Any, str]:
    """The page and its address."""
    from ui.page import launch_options

    demo = build_page()
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **launch_options())
    return demo, address


def print_rows(figures: Figures) -> None:
    """A line for each: median, and from the least to the most, of both pages."""
    for name, found in figures.items():
        texts = [f"{statistics.median(all_):,.0f} ({min(all_):,.0f} to {max(all_):,.0f})" for all_ in found.values()]
        print(f"{name:14} {texts[0]:>26} {texts[1]:>26}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    from tests.support.browser import chromium_path, launch_chromium, running_app

    with tempfile.TemporaryDirectory() as runs, sync_playwright() as playwright:
        os.environ["MASKSCOPE_RUNS"] = runs
        browser = launch_chromium(playwright, chromium_path())
        views, address = served(lambda: build(packed_views()))
        print(f"{'':14} {'the page':>26} {'on gr.HighlightedText':>26}")
        figures = paint(browser, address, options.repeats)
        print_rows(figures)
        views.close()
        peer, peer_address = served(build_peer)
        with running_app() as app:
            opened = open_and_edit(browser, {"ours": app, "peer": peer_address}, options.repeats)
            print_rows(opened)
        peer.close()
        browser.close()
    both = (figures | opened).items()
    medians = {name: {view: statistics.median(all_) for view, all_ in found.items()} for name, found in both}
    print(json.dumps({name: round(found["peer"] / found["ours"], 2) for name, found in medians.items()}))


if __name__ == "__main__":
    main()
