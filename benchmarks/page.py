"""How long the token view takes to paint 500, 8,000 and 32,000 tokens, against gr.HighlightedText in the same run.

Each figure is the time from a click to the second animation frame after the last token is in the document: the server's
answer, its transport, and the drawing. Both get the same tokens of the same conversation. Prints a table and, as its
last line, one JSON object: the peer's median over ours, per size.

    python benchmarks/page.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

SIZES = (500, 8_000, 32_000)
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


def conversation(size: int) -> list[dict[str, str]]:
    """A chat of at least `size` tokens on the embedded model."""
    turn = [
        {"role": "user", "content": "Hello! What is the capital of France, and what comes after Monday?\n"},
        {"role": "assistant", "content": "The capital of France is Paris. Tuesday comes after Monday.\n"},
    ]
    return turn * (size // 30 + 1)


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
            data = json.loads(value)
            # without line ends, at which the peer splits a token in two
            texts = [text.replace("\n", "⏎") for text in data["texts"]]
            spans = [
                (text, "trained" if int(bits, 16) & 1 else "not")
                for text, bits in zip(texts, data["classes"], strict=True)
            ]
            gr.Button(f"ours {size}", elem_id=f"ours-{size}").click(
                lambda value=value: value, None, ours, show_progress="hidden"
            )
            gr.Button(f"peer {size}", elem_id=f"peer-{size}").click(
                lambda spans=spans: spans, None, peer, show_progress="hidden"
            )
    return demo


def packed_views() -> dict[int, str]:
    """What the server sends, by size."""
    import inspector
    from ui.parts.token_view import pack

    model = inspector.load("tiny-chat")
    whole = pack(inspector.inspect(model, conversation(max(SIZES))), notices=[], link="")
    return {size: cut(whole, size) for size in SIZES}


def measure(address: str, repeats: int) -> dict[str, dict[int, float]]:
    """Median milliseconds by view and size."""
    from playwright.sync_api import sync_playwright

    from tests.support.browser import chromium_path, launch_chromium

    figures: dict[str, dict[int, float]] = {"ours": {}, "peer": {}}
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright, chromium_path())
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        tab.set_default_timeout(60_000)
        tab.goto(address)
        tab.wait_for_selector("#ours .token-view", state="attached")
        for size in SIZES:
            for view, token in (("ours", ".tv-body .tv-token"), ("peer", "span.token-container")):
                times = []
                for _ in range(repeats):
                    tab.click("#clear")
                    tab.wait_for_function("s => !document.querySelectorAll(s).length", arg=f"#{view} {token}")
                    times.append(tab.evaluate(_CLICK, [f"#{view}-{size}", f"#{view}", token, size]))
                figures[view][size] = statistics.median(times)
        browser.close()
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    from ui.page import launch_options

    demo = build(packed_views())
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **launch_options())
    figures = measure(address, options.repeats)
    demo.close()
    print(f"{'tokens':>8} {'token view, ms':>16} {'gr.HighlightedText, ms':>24}")
    for size in SIZES:
        print(f"{size:>8,} {figures['ours'][size]:>16,.0f} {figures['peer'][size]:>24,.0f}")
    print(json.dumps({f"paint_{size}": round(figures["peer"][size] / figures["ours"][size], 2) for size in SIZES}))


if __name__ == "__main__":
    main()
