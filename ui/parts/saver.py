"""A component that saves a file on the visitor's machine, by saver.js."""

from __future__ import annotations

import gradio as gr

from ui.parts.scripts import component


def build_saver(elem_id: str) -> gr.HTML:
    """The component, which shows nothing. Its value is JSON: {name, base64} of a file or {click}, a selector."""
    script = component("parts/saver.js")
    return gr.HTML("", html_template="<div></div>", js_on_load=script, apply_default_css=False, elem_id=elem_id)
