"""The sections of docs/findings.md, as the page and an audit's report show them. The document is read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from inspector.paths import DOCS, shell_command

if TYPE_CHECKING:
    from markdown_it.token import Token

IN_CHECKOUT = "python -m inspector"
"""The command, as the document names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A section of the document.

    `html`: its blocks; tags in the document are shown as text. `text`: one line per paragraph, without markup; the
    items of a list begin with "- ".
    """

    html: str = ""
    text: str = ""


def explanation(code: str) -> Explanation:
    """The document's section for a code; None for an unknown code, such as one from another version."""
    return _explanations().get(code, Explanation())


@cache
def _explanations() -> Mapping[str, Explanation]:
    from markdown_it import MarkdownIt  # not needed unless an explanation is shown

    markdown = MarkdownIt("commonmark", {"html": False})
    text = (DOCS / "findings.md").read_text(encoding="utf-8")
    tokens = markdown.parse(text.replace(IN_CHECKOUT, shell_command("inspector")))
    starts = [i for i, token in enumerate(tokens) if token.type == "heading_open" and token.tag == "h2"]
    out = {}
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        body = tokens[start + 3 : end]  # after the heading's opening, text and closing
        html = markdown.renderer.render(body, markdown.options, {})
        out[tokens[start + 1].content] = Explanation(html=html, text="\n".join(_lines(body)))
    return out


def _lines(tokens: Sequence[Token]) -> list[str]:
    lines, prefix = [], ""
    for token in tokens:
        if token.type == "list_item_open":
            prefix = "- "
        elif token.type == "inline":
            marked = (" " if child.type == "softbreak" else child.content for child in token.children or ())
            lines.append(prefix + "".join(marked))
            prefix = ""
    return lines
