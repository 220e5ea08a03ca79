"""The page: a heading, the tabs, and how it is served."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Blocks is made: no look-ups at start

import gradio as gr

from ui import inspect_tab

_HERE = Path(__file__).parent
_HEADING = """
<header class="ms-heading">
  <h1>Maskscope</h1>
  <p>See which tokens of a chat example train, whose text each one is, and why.</p>
</header>
"""


def build_page() -> gr.Blocks:
    """The whole app, not yet served."""
    with gr.Blocks(title="Maskscope") as demo:
        gr.HTML(_HEADING, apply_default_css=False)
        inspect_tab.build(demo)
    demo.queue(default_concurrency_limit=4, max_size=64)
    return demo


def launch_options() -> dict[str, Any]:
    """What `launch` is given beside host and port.

    The browser keeps no record of calls (`run_history`), nothing is rendered on the server, no monitoring page.
    """
    return {
        "theme": gr.themes.Base(
            primary_hue=gr.themes.colors.teal,
            neutral_hue=gr.themes.colors.slate,
            radius_size=gr.themes.sizes.radius_md,
            spacing_size=gr.themes.sizes.spacing_sm,
        ),
        "css": (_HERE / "style.css").read_text(encoding="utf-8"),
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "show_error": True,
        "footer_links": [],
    }
