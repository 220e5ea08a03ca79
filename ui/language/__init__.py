"""The page in other languages: a text is written in English where it is used, and looked up in a catalogue by that.

In: English texts of the page, with their values. Out: the same in the language of whoever is served.
May import: nothing of the page.

Texts of widgets are looked up by gradio in the browser (gr.I18n), those of the scripts by `say` of parts/component.js,
those of reports by `say` here. What the inspector and the runs say (verdicts, findings, errors) is English everywhere.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from gradio.i18n import I18n, I18nData

LANGUAGES: Mapping[str, tuple[str, ...]] = {"zh": ("zh-CN", "zh-TW")}
"""Each language that has a catalogue, and what browsers call it; gradio takes no other name for Chinese."""
_FOLDER = Path(__file__).parent
_WORDS = ("label", "info", "placeholder", "submit_btn")


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """English text -> the text in a language."""
    return dict(json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8")))


def say(text: str, /, **values: Any) -> str:
    """An English text with its values, in the language of the request; in English where nobody asks."""
    language = _asked()
    return (catalogue(language).get(text, text) if language else text).format(**values)


def _asked() -> str | None:
    """The browser's first language, which is the one that gradio and the scripts take; None for English."""
    headers = getattr(LocalContext.request.get(None), "headers", None) or {}
    first = str(headers.get("accept-language") or "").split(",")[0].split(";")[0].strip()
    return next((language for language, names in LANGUAGES.items() if first in names), None)


def marked(text: str) -> str:
    """A text as HTML in which the browser looks it up."""
    return str(I18nData(text)) if text in _known() else html.escape(text)


def translate(demo: gr.Blocks) -> None:
    """Have the browser look up the words of every widget."""
    for block, name, word in words_of(demo):
        if word not in _known():
            continue
        if name == "choices":
            block.choices = [(I18nData(word) if shown == word else shown, value) for shown, value in block.choices]
        else:
            setattr(block, name, I18nData(word))


def words_of(demo: gr.Blocks) -> Iterator[tuple[Any, str, str]]:
    """(widget, property, text) of all that the page's widgets say, choices included."""
    for block in demo.blocks.values():
        names = [*_WORDS, "value"] if isinstance(block, gr.Button | gr.DownloadButton) else _WORDS
        for name in names:
            word = getattr(block, name, None)
            if isinstance(word, str) and word:
                yield block, name, word
        for shown, _ in getattr(block, "choices", None) or ():
            if isinstance(shown, str):
                yield block, "choices", shown


@cache
def _known() -> frozenset[str]:
    return frozenset(word for language in LANGUAGES for word in catalogue(language))


def translations() -> I18n:
    """What gradio's browser side looks up."""
    return gr.I18n(**{name: dict(catalogue(language)) for language, names in LANGUAGES.items() for name in names})
