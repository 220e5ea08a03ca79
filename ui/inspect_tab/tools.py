"""The drawer with the tools: ids to search for, generation tags, settings to export, a warning to decode."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui.inspect_tab.decode_pane import build_decode_pane, connect_decode_pane
from ui.inspect_tab.export_pane import build_export_pane, connect_export_pane
from ui.inspect_tab.markers_pane import build_markers_pane, connect_markers_pane
from ui.inspect_tab.template_pane import build_tags_pane, connect_tags_pane
from ui.parts.scripts import component
from ui.wiring.wires import Wires

WIDTH = 480
_TITLE = "<h2 class='drawer-title' tabindex='-1'>Tools</h2>"


def build_tools() -> dict[str, Any]:
    """The widgets, by name."""
    with gr.Sidebar(
        position="right", open=False, width=WIDTH, elem_id="drawer", elem_classes=["waits-for-model"]
    ) as drawer:
        gr.HTML(_TITLE, apply_default_css=False, js_on_load=component("inspect_tab/drawer.js"))
        widgets = build_decode_pane() | build_markers_pane() | build_tags_pane() | build_export_pane()
    return {"drawer": drawer, **widgets}


def connect_tools(wires: Wires, forms: tuple[str, ...]) -> None:
    """Connect the drawer. `forms`: the boxes of the conversation."""
    connect_decode_pane(wires, forms)
    connect_markers_pane(wires)
    connect_tags_pane(wires)
    connect_export_pane(wires)
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
    wires["open_tools"].click(lambda: gr.update(open=True), None, [wires["drawer"]], **quiet)
    opened = [wires["drawer"], wires["decode_pane"]]
    wires["open_decode"].click(lambda: (gr.update(open=True), gr.update(open=True)), None, opened, **quiet)
