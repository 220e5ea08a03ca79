"""The JavaScript of a component: files that share one scope, and the line that starts its class.

Each file holds classes and functions, and does nothing by itself: node runs them in tests, and tsc checks them as one
program (ui/tsconfig.json), with types.d.ts for the values that the page passes to them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gradio as gr

_UI = Path(__file__).parents[1]
_JSDOC = re.compile(r"\s*/\*\*.*?\*/", re.DOTALL)


def script(*names: str) -> str:
    """The joined text of the files, without JSDoc, since every report carries it. `names`: their paths in ui/."""
    return _JSDOC.sub("", "\n".join((_UI / name).read_text(encoding="utf-8") for name in names))


def component(*names: str) -> str:
    """component.js, the files `names`, and a start of the last one's class: `TokenView` of token_view.js."""
    return f"{script('parts/component.js', *names)}\n{start(names[-1])}"


def start(name: str) -> str:
    """The line that starts the class of a file."""
    started = "".join(word.capitalize() for word in Path(name).stem.split("_"))
    return f"new {started}({{element, props, trigger, watch, server}}).start();"


def build_drawn(css_class: str, script: str, elem_id: str, **options: Any) -> gr.HTML:
    """A component, empty at first, that a script draws: into one element, which has this class."""
    template = f'<div class="{css_class}"></div>'
    return gr.HTML(
        value="", html_template=template, js_on_load=script, apply_default_css=False, elem_id=elem_id, **options
    )
