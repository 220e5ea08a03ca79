"""The page's other languages: every catalogue has every text, and nothing else; a text is looked up by its English."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gradio.context import LocalContext
from gradio.i18n import I18nData

from tests.support.javascript import evaluated
from ui import language, page
from ui.parts.scripts import script

UI = Path(page.__file__).parent
NAMES = frozenset(
    {
        "model",
        "strategy",
        "example",
        "gallery",
        "data-example",
        "train-example",
        "train-set-strategy",
        "train-set-method",
    }
)
"""Widgets whose choices are names."""
LITERAL = r'"((?:[^"\\]|\\.)*)"'
MADE = (
    rf"\bsay\({LITERAL}",
    rf"settingButton\(\"\w+\", {LITERAL}, {LITERAL}\)",
    rf"(?:\bbutton|copyButton|\bcopy|\bexample|#step)\({LITERAL}(?:,\s*{LITERAL})?",
    rf"(?:\bbutton|copyButton)\((?:\w+|say\([^\n]*?\)), {LITERAL}",
)
"""What says a text in a script: `say` itself, and what makes a button with a title."""
LISTS = {
    "Object.values(Inspection.NAMES)": "token_view/inspection.js",
    "RunsTable.COLUMNS.map(column => column[0])": "train_tab/runs_table.js",
    "FindingsView.COLUMNS": "data_tab/findings_view.js",
    "[...ScoresView.SHADES, ...ScoresView.MOMENTS]": "train_tab/scores_view.js",
}
"""Lists in the scripts whose texts are looked up, and where they are."""
SPOKEN = {"say", "marked", "build_note", "build_text_box"}
"""Functions whose texts are looked up."""


def is_words(text: str) -> bool:
    """Whether a text has a word in it; and is not a value that would be typed there, as JSON is."""
    return bool(re.search("[A-Za-z]{2,}", text)) and not re.match(r"[\[#.]|\{\"|\w+=\w+$|\d\w+$|[\w/-]+\.json$", text)


def of_widgets() -> Iterator[str]:
    """What the widgets of the page say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "translate", lambda _: None)
        demo = page.build_page()
    for block, name, word in language.words_of(demo):
        if name != "choices" or block.elem_id not in NAMES:
            yield word


def of_calls() -> Iterator[str]:
    """The literals given to functions that look them up."""
    for file in UI.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in SPOKEN:
                given = [*node.args, *(one.value for one in node.keywords if one.arg == "info")]
                yield from (one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str))
    yield from page._WORDS
    for file in UI.rglob("*.js"):
        source = script(file.relative_to(UI).as_posix())
        for pattern in MADE:
            for texts in re.findall(pattern, source):
                yield from (texts,) if isinstance(texts, str) else texts
    for names, file in LISTS.items():
        yield from evaluated(names, file)


@pytest.mark.parametrize("name", list(language.LANGUAGES))
def test_a_catalogue_has_every_text_and_nothing_else(name: str) -> None:
    """With the same values in each."""
    known = language.catalogue(name)
    used = {text for text in (*of_widgets(), *of_calls()) if is_words(text)}
    assert sorted(used - set(known)) == []
    assert sorted(set(known) - used) == []
    for text, translated in known.items():
        assert translated
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", translated)), text


def test_no_script_draws_words_that_are_not_looked_up() -> None:
    """The text of an element is said, or is not words."""
    drawn = re.compile(rf'\bmake\("\w+", "[^"]*", {LITERAL}')
    found = [
        (file.name, text)
        for file in UI.rglob("*.js")
        for text in drawn.findall(script(file.relative_to(UI).as_posix()))
        if re.search(r"[A-Za-z]{3,}", text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "停止"), ("zh-TW", "停止"), ("en-US,zh-CN;q=0.5", "Stop"),
        ("fr,zh-TW;q=0.5", "Stop"), ("zh", "Stop"), ("de", "Stop"), ("", "Stop"), (None, "Stop"),
    ],
)  # fmt: skip
def test_a_text_is_said_in_the_browsers_first_language(accepted: str | None, expected: str) -> None:
    """As gradio says its own and the page's widgets say theirs; English where that has no catalogue."""
    request: Any = SimpleNamespace(headers={} if accepted is None else {"accept-language": accepted})
    token = LocalContext.request.set(request)
    try:
        assert language.say("Stop") == expected
        assert language.say("{n} rows that nobody has translated", n=3) == "3 rows that nobody has translated"
    finally:
        LocalContext.request.reset(token)
    assert language.say("Stop") == "Stop"


def test_scripts_look_texts_up_where_gradio_does() -> None:
    """By the browser's language; values are filled in, unknown ones stay."""
    known = "globalThis.gradio_config = {i18n_translations: {'zh-TW': {'\\u2060{n} rows': '{n} 行'}}}"
    ask = "say('{n} rows', {n: 3})"
    named = "Object.defineProperty(globalThis, 'navigator', {value: {language: 'zh-TW'}, configurable: true})"
    assert evaluated(ask) == "3 rows"
    assert evaluated(f"({known}, {named}, {ask})") == "3 行"
    assert evaluated("say('{n} and {m}', {n: 1})") == "1 and {m}"


def test_no_value_is_looked_up() -> None:
    """gradio translates any text that is a key of the catalogues: none is the value of a widget or of a choice."""
    keys = {key for words in language.translations().translations.values() for key in words}
    values: set[Any] = set()
    for block in page.build_page().blocks.values():
        value = getattr(block, "value", None)
        values |= {value} if isinstance(value, str) else set()
        values |= {chosen for _, chosen in getattr(block, "choices", None) or ()}
    assert {"example", "detected"} <= values
    assert not values & keys


def test_widgets_are_marked_for_the_browser() -> None:
    """Labels and choices whose text is known; the values that are sent stay what they are."""
    demo = page.build_page()
    turns: Any = next(block for block in demo.blocks.values() if block.elem_id == "turns")
    assert isinstance(turns.label, I18nData)
    assert [value for _, value in turns.choices] == ["all", "last", "flagged", "every_token"]
    assert all(isinstance(shown, I18nData) for shown, _ in turns.choices)
    assert language.marked("Stop") == str(I18nData(f"{language.KEY}Stop"))
    assert language.marked("a < b, which nobody has translated") == "a &lt; b, which nobody has translated"
