"""What the page computes without a browser: links, the conversation's JSON, the packed view."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
from inspector.setup import Setup
from ui.inspect_tab.events import EXAMPLES
from ui.inspect_tab.links import LinkError, ViewState, decode_link, encode_link
from ui.inspect_tab.view import inspect_view
from ui.parts.token_view import as_json, pack
from ui.wiring.conversation_json import (
    ConversationJsonError,
    TemplateOptions,
    parse_json,
    read_options,
    write_options,
)
from ui.wiring.models import LoadedSetup

CHAT = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "\nHello <b>you</b>."}]


def fragment(value: Any) -> str:
    packed = zlib.compress(value if isinstance(value, bytes) else json.dumps(value).encode())
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def setup(conversation: Any = CHAT, **fields: Any) -> Setup:
    return Setup(model="tiny-chat", conversation=conversation, **fields)


def loaded(conversation: Any) -> LoadedSetup:
    return LoadedSetup(setup(conversation))


@given(st.text(max_size=200), st.text(max_size=20), st.dictionaries(st.text(max_size=5), st.booleans(), max_size=3))
def test_a_link_gives_its_state_back(conversation: str, model: str, options: dict[str, bool]) -> None:
    """Any state survives the way through a fragment."""
    state = ViewState(
        model=model, conversation=conversation, options=options, modifiers={"max_length": 9}, strategy="home_llm",
        special_tokens={"pad_token": "[PAD]"}, rows=[{"model": model, "conversation": []}] * 3, row=2, token=7,
    )  # fmt: skip
    assert decode_link(encode_link(state)) == state


def test_a_link_of_the_first_version_still_opens() -> None:
    """Its `policy` is read as the options of traced."""
    old = {"model": "tiny-chat", "template_name": "default", "conversation": json.dumps(CHAT), "compare": False}
    state = decode_link(fragment({**old, "policy": {"turns": "last", "straddlers": False}}))
    (opened,) = state.setups()
    assert opened == setup(template="default", options={"turns": "last", "straddlers": False})


def test_a_link_drops_the_other_rows_before_it_gives_up() -> None:
    """Rows that no address could hold: the one shown is still linked."""
    import random

    text = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=120_000))
    rows = [setup([{"role": "user", "content": text}]).to_dict(), setup().to_dict()]
    state = decode_link(encode_link(ViewState(model="tiny-chat", conversation=json.dumps(CHAT), rows=rows, row=1)))
    assert (state.rows, state.row) == ([], 0)
    assert state.setups() == [setup()]


def test_a_state_too_long_for_a_link_gives_none() -> None:
    """A conversation that no address could hold has no link."""
    import random

    text = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=120_000))
    assert encode_link(ViewState(model="m", conversation=text)) == ""


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("%%%", "damaged"),
        ("AAAA", "damaged"),
        (fragment({"model": "m"})[:-4], "damaged|cut short"),
        (fragment(b"not json"), "damaged"),
        (fragment([1]), "names no model"),
        (fragment({"model": "m", "owner": "x"}), "'owner' that this version does not read"),
        (fragment({"model": "m", "rows": {}}), "'rows' that this version does not read"),
        (fragment({"model": 5}), "'model' that this version does not read"),
        (fragment(b" " * 3_000_000), "more than a page can show"),
        ("A" * 200_000, "200,000 characters long"),
    ],
)
def test_foreign_fragments_are_refused(bad: str, says: str) -> None:
    """Damaged, foreign, oversized fragments, and those that unpack to too much, each say so."""
    with pytest.raises(LinkError, match=says):
        decode_link(bad)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"conversation": "["}, "does not hold a setup"),
        ({"conversation": "[]", "rows": [{"model": "m"}]}, "has no 'conversation'"),
        ({"conversation": "[]", "rows": [{"model": "m", "conversation": []}], "row": 4}, "row 5 of 1"),
    ],
)
def test_a_link_with_rows_that_are_none_is_refused(bad: dict[str, Any], says: str) -> None:
    """What would break the page later is refused when the link is read."""
    with pytest.raises(LinkError, match=says):
        decode_link(fragment({"model": "m", **bad})).setups()


def test_options_are_read_from_the_json_and_written_back() -> None:
    """The controls show what the JSON holds, and writing them gives the same JSON."""
    value = {
        "messages": CHAT,
        "tools": [{"type": "function"}],
        "documents": [{"text": "x"}],
        "add_generation_prompt": True,
        "enable_thinking": False,
        "date_string": "1 Jan",
    }
    options = read_options(json.dumps(value))
    assert (options.generation_prompt, options.thinking) == (True, "off")
    assert json.loads(options.keywords) == {"date_string": "1 Jan"}
    assert json.loads(write_options(json.dumps(value), options)) == value
    assert json.loads(write_options(json.dumps(value), TemplateOptions())) == CHAT
    assert read_options("nonsense") == TemplateOptions() == read_options("[]")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tools": "{"}, "Tools is not JSON"),
        ({"documents": "["}, "Documents is not JSON"),
        ({"keywords": "x"}, "Other keywords is not JSON"),
        ({"keywords": "[1]"}, "Other keywords must be an object"),
    ],
)
def test_a_broken_option_is_named(options: dict[str, str], says: str) -> None:
    """The error says which box to mend."""
    with pytest.raises(ConversationJsonError, match=says):
        write_options(json.dumps(CHAT), TemplateOptions(**options))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("  ", r"^Paste a conversation, or load an example\.$"),
        ("[1,\n 2, ]", "a comma before the closing bracket at line 2, column 3"),
        ("[,]", "a comma before the closing bracket at line 1, column 2"),
        ("[1,,2]", "Expecting value at line 1, column 4"),
        ("[1,", "Expecting value at line 1, column 4"),
        ('{"a": 1,\n}', "a comma before the closing bracket at line 1, column 8"),
        ("[{'role': 'user'}]", "single quotes where JSON has double ones at line 1, column 3"),
    ],
)
def test_common_slips_are_named(text: str, says: str) -> None:
    """In words, with their place."""
    with pytest.raises(ConversationJsonError, match=says):
        parse_json(text)


def test_text_that_is_no_json_is_refused_with_its_place() -> None:
    """Line and column, size, and depth are each named."""
    with pytest.raises(ConversationJsonError, match="line 2, column 1"):
        parse_json("[\n")
    with pytest.raises(ConversationJsonError, match="1,000,000 characters long"):
        parse_json("x" * 1_000_000)
    with pytest.raises(ConversationJsonError, match="nested too deeply"):
        parse_json("[" * 200_000)


def test_the_packed_view_holds_every_token_and_no_markup() -> None:
    """Columns are as long as the ids; joined texts are the text; `<` is escaped; surrogates are gone."""
    inspection = inspector.inspect(inspector.load("tiny-chat"), CHAT)
    packed = pack(inspection, notices=[], link="x")
    assert "<" not in packed
    data = json.loads(packed)
    columns = ("texts", "starts", "ends", "classes", "turns", "reasons", "tokenOrigins")
    assert {len(data[name]) for name in columns} == {len(inspection.ids)}
    assert "".join(data["texts"]) == inspection.text
    assert [int(bits, 16) & 1 for bits in data["classes"]] == inspection.trained
    assert as_json({"x": "\ud800"}) == '{"x":"?"}'


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_example_shows_tokens_on_the_embedded_model(path: Path) -> None:
    """The examples that the page offers work with the model it opens on."""
    data = json.loads(inspect_view(loaded(json.loads(path.read_text()))))
    assert "failure" not in data, data
    assert any(int(bits, 16) & 1 for bits in data["classes"])


def test_options_without_effect_are_noticed() -> None:
    """A keyword that the template does not read is named, and so are documents it ignores."""
    chat = {"messages": CHAT, "enable_thinking": True, "documents": [{"text": "x"}]}
    data = json.loads(inspect_view(loaded(chat)))
    assert any("enable_thinking" in notice for notice in data["notices"])
    assert any("documents" in notice for notice in data["notices"])


def test_a_link_made_with_another_template_is_noticed() -> None:
    """When the model's template has changed since, the view says so."""
    data = json.loads(inspect_view(loaded(CHAT), expected_hash="0123456789ab"))
    assert data["notices"][0].startswith("The link was made with template 0123456789ab")


def test_an_unforeseen_failure_becomes_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug does not end in a silent page: the view names the error."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(LoadedSetup, "inspect", broken)
    data = json.loads(inspect_view(loaded(CHAT)))
    assert "ZeroDivisionError: by zero" in data["failure"]["detail"]
