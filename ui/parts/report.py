"""A pane's results as blocks: text, facts, tables, code, files to save, token pieces. report_view.js draws them.

Each function below makes one block; `report` packs blocks into the component's value. User text is shown as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gradio as gr

from ui.language import marked
from ui.parts.scripts import build_drawn
from ui.parts.token_view import as_json
from ui.parts.tokens import tokens_script

_SCRIPT = tokens_script("parts/report_view.js")
Block = dict[str, Any]


def build_report(elem_id: str, *, follows_view: bool = False, comes_into_view: bool = False) -> gr.HTML:
    """The component, empty. `follows_view`: whether it shows that the view has changed since it was made;
    `comes_into_view`: whether the page scrolls to it when its content changes."""
    classes = {"follows-view": follows_view, "comes-into-view": comes_into_view}
    named = ["report-box", *(name for name, is_set in classes.items() if is_set)]
    return build_drawn("report", _SCRIPT, elem_id, elem_classes=named)


def build_note(content: str) -> gr.HTML:
    """A line that names the content below it; ours, never a user's."""
    return gr.HTML(f"<p class='pane-note'>{marked(content)}</p>", elem_classes=["pane-note-box"])


def report(*blocks: Block) -> str:
    """The value that shows these blocks."""
    return as_json({"blocks": blocks})


def text(content: str, sign: str = "") -> Block:
    """A paragraph. `sign`: a sign in front of it, such as "=" or "≠"."""
    return {"kind": "text", "text": content, "sign": sign}


def heading(content: str) -> Block:
    """A small heading."""
    return {"kind": "heading", "text": content}


def progress(content: str, share: float | None) -> Block:
    """A progress bar with a label. `share`: the completed share, from 0 to 1; None if unknown."""
    return {"kind": "progress", "text": content, "share": share}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Block:
    """A table; the first cell of each row is its name, the others are code."""
    return {"kind": "table", "head": list(head), "rows": [list(row) for row in rows]}


def code(content: str, *, label: str, is_diff: bool = False) -> Block:
    """Code with a button that copies it. `is_diff`: a unified diff, whose lines are coloured by their signs."""
    return {"kind": "code", "text": content, "label": label, "isDiff": is_diff}


def files(*named: tuple[str, str]) -> Block:
    """A button for each (file name, text) that saves it."""
    return {"kind": "files", "files": [{"name": name, "text": content} for name, content in named]}


def pieces(label: str, tokens: Iterable[tuple[int, str]]) -> Block:
    """The tokens of a text: (id, its text)."""
    return {"kind": "pieces", "label": label, "tokens": [{"id": id, "text": token_text} for id, token_text in tokens]}
