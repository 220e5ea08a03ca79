"""Trainers that change a row before they render it: what is shown and labelled is the row that they train on."""

from __future__ import annotations

from typing import Any

import pytest

import inspector
from inspector.errors import StrategyRefusedError, TemplateFailedError, TemplateRefusedError
from inspector.inspection import Inspection
from tests.inspector.strategies.test_strategies import CHAT, look
from tests.support import models

MESSAGE = (
    "{% for message in messages %}{{ message.role + '|' + (message.content or '') | string + '|' }}"
    "{{ message.tool_calls | tojson if message.tool_calls else '' }}{{ '|' }}{% endfor %}"
)
"""Writes every field that axolotl finds in it."""


def axolotl(chat: Any, template: str = MESSAGE) -> Inspection:
    """What axolotl's rule labels, through a template that writes every field it reads."""
    return look(chat, "content_diff", template)


def shown(inspection: Inspection) -> str:
    """The text that is labelled."""
    return inspection.text


def test_axolotl_joins_list_content_and_drops_images() -> None:
    """The row shown is the joined one, and the warning says that it was changed."""
    parts = [{"type": "image"}, {"type": "text", "text": "What"}, {"type": "text", "text": " is it?"}]
    found = axolotl([{"role": "human", "content": parts}, {"role": "gpt", "content": "A cat.", "note": "n"}])
    assert shown(found) == "user|What is it?||assistant|A cat.||"
    assert models.trained_text(found) == "A cat."
    assert "axolotl changes the row" in found.labelled.warnings[0]
    assert "it drops note" in found.labelled.warnings[0]


def test_axolotl_drops_nulls_and_parses_arguments() -> None:
    """At any depth; nulls inside a text of JSON stay."""
    call = {"function": {"name": "f", "arguments": '{"a": null}'}, "id": None}
    found = axolotl([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "", "tool_calls": [call]}])
    assert shown(found) == 'user|Hi||assistant||[{"function": {"name": "f", "arguments": {"a": null}}}]|'


def test_axolotl_takes_an_empty_list_of_tools_for_none() -> None:
    """A template may tell them apart."""
    template = "{{ 'none' if tools is none else 'some' }}" + MESSAGE
    chat = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}], "tools": []}
    assert shown(axolotl(chat, template)).startswith("none")
    assert shown(look(chat, "prefix_render", template)).startswith("none")
    given = inspector.inspect(models.model("chatml").with_template(template), chat, "full", {"as_given": ["tools"]})
    assert shown(given).startswith("some")
    assert shown(look(chat, "full", template)).startswith("none")


def test_axolotl_stops_at_arguments_that_are_no_json() -> None:
    """So it is said, and so are parts with flags of their own, which are not reproduced."""
    call = {"function": {"name": "f", "arguments": "{bad"}}
    with pytest.raises(StrategyRefusedError, match="axolotl stops at this row: the arguments of a function in mes"):
        axolotl([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "", "tool_calls": [call]}])
    part = {"type": "text", "text": "Ho", "train": False}
    with pytest.raises(StrategyRefusedError, match="have train flags of their own"):
        axolotl([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [part]}])
    with pytest.raises(StrategyRefusedError, match="a part of message 1 · content has no text"):
        axolotl([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"text": {"a": 1}}]}])


def test_a_template_may_refuse_what_a_trainer_makes() -> None:
    """A name that is read by `get` is dropped, and the template needs it."""
    needs = "{% for message in messages %}{{ message.content + message.get('name') }}{% endfor %}"
    with pytest.raises(StrategyRefusedError, match="axolotl changes this row before it renders it, and the template"):
        axolotl([{"role": "assistant", "content": "Ho", "name": "n"}], needs)


def test_a_row_that_renders_only_once_it_is_changed_is_shown_changed() -> None:
    """A template for texts refuses list content; axolotl joins it first. Other strategies are refused."""
    texts = "{% for message in messages %}{{ message.role + '|' + message.content + '|' }}{% endfor %}"
    chat = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, {"role": "assistant", "content": "Ho"}]
    found = axolotl(chat, texts)
    assert (shown(found), models.trained_text(found)) == ("user|Hi|assistant|Ho|", "Ho")
    assert found.labelled.warnings[0].startswith(
        "The template refuses this row as it is given; what is shown is the row that axolotl makes of it. The chat"
    )
    with pytest.raises(TemplateFailedError):
        inspector.inspect(models.model("chatml").with_template(texts), chat, "full", {"as_given": ["content"]})
    assert shown(look(chat, "full", texts)) == "user|Hi|assistant|Ho|"
    with pytest.raises(TemplateRefusedError):
        axolotl(CHAT, "{{ raise_exception('Never.') }}" + texts)
