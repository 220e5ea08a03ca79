"""A box for code: a labelled textarea in which every edit counts, including pasting and deleting."""

from __future__ import annotations

import html

import gradio as gr

from ui.parts.scripts import component

_SCRIPT = component("parts/text_box.js")


def build_text_box(
    label: str, *, elem_id: str, rows: int, info: str = "", placeholder: str = "", value: str = ""
) -> gr.HTML:
    """The component; its value is the text. Label, info and placeholder are ours, never a user's."""
    shell = (
        f'<label class="text-box"><span class="tb-label">{html.escape(label)}</span>'
        f'<span class="tb-info">{html.escape(info)}</span>'
        f'<textarea rows="{rows}" spellcheck="false" placeholder="{html.escape(placeholder)}"></textarea></label>'
    )
    return gr.HTML(value=value, html_template=shell, js_on_load=_SCRIPT, apply_default_css=False, elem_id=elem_id)
