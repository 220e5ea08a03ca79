"""The page: a heading, the tabs, and how it is served."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Blocks is created: no requests at start

import gradio as gr

from ui import api, language
from ui.data_tab import tab as data_tab
from ui.data_tab.address import FIELDS, on_address
from ui.data_tab.open import INSPECT
from ui.inspect_tab import tab as inspect_tab
from ui.inspect_tab.open import OPENED
from ui.models_tab import tab as models_tab
from ui.parts.scripts import component, script, start
from ui.train_tab import tab as train_tab
from ui.visitors.access import KEPT_S, UPLOAD_BYTES, is_public
from ui.visitors.sessions import on_leave
from ui.wiring.wires import Wires

_HERE = Path(__file__).parent
_SCRIPTS = ("wiring/dropdowns.js", "wiring/loading.js", "wiring/stops.js")
_HEADING = """
<a class="skip-link" href="#view" data-say>{}</a>
<header class="ms-heading">
  <h1>Maskscope</h1>
  <p data-say>{}</p>
</header>
"""
_WORDS = ("Skip to the tokens", "See which tokens your trainer actually trains on.")

_LOOKS_S = (0.01, 0.2)
"""Seconds between gradio's checks for events, and for progress, which no handler here reports. gradio's default of a
thousand checks per second costs an idle app a tenth of a core."""
_WEIGHTS = (400, 700)
"""gradio's own files of weight 600 lack most letters, which are then set in other fonts."""
_CONTRAST = {
    "button_primary_background_fill": "*primary_700",
    "button_primary_background_fill_hover": "*primary_800",
    "button_primary_background_fill_dark": "*primary_700",
    "button_primary_background_fill_hover_dark": "*primary_800",
    "button_cancel_text_color": "#a61b29",
    "button_cancel_text_color_dark": "#ffd0d4",
    "block_info_text_color": "*neutral_600",
    "block_info_text_color_dark": "*neutral_300",
}
"""Replacements for theme colours that are too pale for text."""


def build_page() -> gr.Blocks:
    """The whole app, not yet served."""
    kept = (KEPT_S, KEPT_S) if is_public() else None
    with gr.Blocks(title="Maskscope", delete_cache=kept) as demo:
        started = "\n".join([component("wiring/words.js"), script(*_SCRIPTS), *map(start, _SCRIPTS)])
        gr.HTML(_HEADING.format(*_WORDS), apply_default_css=False, js_on_load=started)
        with gr.Tabs(selected=INSPECT, elem_id="tabs") as tabs:
            with gr.Tab("Inspect", id=INSPECT):
                widgets = inspect_tab.build()
            with gr.Tab("Audit", id="data", elem_id="data") as tab:
                widgets |= data_tab.build()
            with gr.Tab("Train", id="train", elem_id="train") as train:
                training = train_tab.build()
            with gr.Tab("Models", id="models", elem_id="models") as models:
                widgets |= models_tab.build()
        if training:
            training |= train_tab.build_timer()
        wires = Wires({**widgets, **training, "tabs": tabs, "data_tab": tab, "train_tab": train, "models_tab": models})
        wires.on_load(demo, on_address, OPENED, FIELDS)
        inspect_tab.connect(wires)
        data_tab.connect(wires)
        models_tab.connect(wires, INSPECT)
        if training:
            train_tab.connect(wires, demo)
        api.connect()
    language.translate(demo)
    demo.unload(on_leave)
    demo.queue(default_concurrency_limit=4, max_size=64)
    demo._queue.sleep_when_free, demo._queue.progress_update_sleep_when_free = _LOOKS_S
    return demo


def launch_options(password: str = "", *, mcp: bool = False) -> dict[str, Any]:
    """The arguments of `launch` besides host and port. `password`: the password to ask for, with the name maskscope.
    `mcp`: whether the endpoints of ui/api.py are also served as tools.

    The browser keeps no record of calls (`run_history`), nothing is rendered on the server, no monitoring page.
    """
    return {
        "i18n": language.translations(),
        "theme": gr.themes.Base(
            primary_hue=gr.themes.colors.teal,
            neutral_hue=gr.themes.colors.slate,
            radius_size=gr.themes.sizes.radius_md,
            spacing_size=gr.themes.sizes.spacing_sm,
            font=[gr.themes.LocalFont("IBM Plex Sans", _WEIGHTS), "system-ui", "sans-serif"],
            font_mono=[gr.themes.LocalFont("IBM Plex Mono", _WEIGHTS), "ui-monospace", "monospace"],
        ).set(**_CONTRAST),
        "css": (_HERE / "style.css").read_text(encoding="utf-8"),
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "show_error": True,
        "footer_links": [],
        "allowed_paths": [str(train_tab.PLOTLY)],
        "max_file_size": UPLOAD_BYTES if is_public() else None,
        "auth": ("maskscope", password) if password else None,
        "mcp_server": mcp or None,
    }
