"""The page in other languages: texts are written in English where they are used, and translated by a catalogue.

In: English texts of the page, with their values. Out: the same in the visitor's language.
May import: nothing of the page.

Texts of widgets are looked up by gradio in the browser (gr.I18n), those of the scripts by `say` of parts/component.js,
those of reports by `say` here. Texts of the inspector and of runs (verdicts, findings, errors) are always English.
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
"""The languages with a catalogue, and the browsers' names for them; gradio accepts no other name for Chinese."""
_FOLDER = Path(__file__).parent
_WORDS = ("label", "info", "placeholder", "submit_btn")


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """English text -> the text in a language."""
    return dict(json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8")))


def say(text: str, /, **values: Any) -> str:
    """An English text with its values, in the language of the request; in English without a request."""
    language = _asked()
    return (catalogue(language).get(text, text) if language else text).format(**values)


def _asked() -> str | None:
    """The browser's first language, which gradio and the scripts also use; None for English."""
    headers = getattr(LocalContext.request.get(None), "headers", None) or {}
    first = str(headers.get("accept-language") or "").split(",")[0].split(";")[0].strip()
    return next((language for language, names in LANGUAGES.items() if first in names), None)


def marked(text: str) -> str:
    """A text as HTML in which the browser looks it up."""
    return str(_looked_up(text)) if text in _known() else html.escape(text)


def translate(demo: gr.Blocks) -> None:
    """Make the browser translate the texts of every widget."""
    for block, name, word in words_of(demo):
        if word not in _known():
            continue
        if name == "choices":
            block.choices = [(_looked_up(word) if shown == word else shown, value) for shown, value in block.choices]
        else:
            setattr(block, name, _looked_up(word))


def words_of(demo: gr.Blocks) -> Iterator[tuple[Any, str, str]]:
    """(widget, property, text) of all texts of the page's widgets, including choices."""
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


KEY = "\N{WORD JOINER}"
"""What a text is looked up by begins with this: gradio translates whatever it finds in a catalogue, the values of radio
buttons and dropdowns, too, and would send the translation of "example" where "example" is meant."""


def _looked_up(text: str) -> I18nData:
    return I18nData(KEY + text)


def translations() -> I18n:
    """The catalogues for gradio's code in the browser; English, too, which every other language falls back to."""
    texts = {"en": {word: word for word in _known()}}
    texts |= {name: dict(catalogue(language)) for language, names in LANGUAGES.items() for name in names}
    return gr.I18n(**{name: {KEY + word: text for word, text in words.items()} for name, words in texts.items()})
