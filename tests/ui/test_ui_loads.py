"""A view loads its model once and parses its conversation once.

Each key pressed makes a view, and each load asks the hub.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.conversation import chat
from inspector.gallery import gallery
from inspector.model import hub
from inspector.setup import Setup
from ui.data_tab.batch_pane import BatchBoxes, on_batch
from ui.data_tab.boxes import DataBoxes
from ui.data_tab.events import preview_of
from ui.inspect_tab import events
from ui.inspect_tab.open import open_rows
from ui.wiring.boxes import Boxes
from ui.wiring.conversation_json import dump

CHAT = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]
CUSTOM = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
DEFAULT = inspector.load("tiny-chat").template
ZEPHYR = inspector.load("tiny-chat", template="zephyr").template
REFUSED = next(entry.setup for entry in gallery() if entry.code == "roles_must_alternate")


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a model was loaded, messages were parsed, and a template's file was read, wherever it was asked for."""
    found: Counter[str] = Counter()

    def count(what: str, owner: Any, name: str) -> None:
        own = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            if what != "files" or arguments[0].suffix == ".jinja":
                found[what] += 1
            return own(*arguments, **options)

        monkeypatch.setattr(owner, name, counted)

    count("loads", hub, "locate")
    count("parses", chat, "checked_messages")
    count("files", Path, "read_text")
    return found


def boxes(**values: Any) -> Boxes:
    return Boxes(**{"model": "tiny-chat", "conversation": dump(CHAT), "template": DEFAULT, **values})


VIEWS = {
    "the model's template": boxes(),
    "no template yet": boxes(template=""),
    "a built-in one": boxes(template=ZEPHYR),
    "an edited one": boxes(template=CUSTOM),
    "one that fails": boxes(template="{% for m in messages %}{{ 1 / 0 }}{% endfor %}"),
    "one that is none": boxes(template="words"),
    "other special tokens": boxes(special_tokens='{"pad_token": "<|im_start|>"}'),
    "a strategy beside the truth": boxes(strategy="full"),
    "a conversation that is refused": boxes(template=REFUSED.template, conversation=dump(REFUSED.conversation)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_loads_and_parses_once(name: str, counts: Counter[str]) -> None:
    """From the boxes to the labels, or to what went wrong and why."""
    events.on_inspect(VIEWS[name])
    counts.clear()
    view = json.loads(events.on_inspect(VIEWS[name])["view"])
    assert ("failure" in view) == (name.startswith("one that") or name.endswith("refused"))
    assert counts == {"loads": 1, **({} if name == "one that is none" else {"parses": 1})}


@pytest.mark.parametrize(
    ("act", "parses"),
    [
        (lambda: events.on_model(boxes()), 1),
        (
            lambda: events.on_strategy(boxes(strategy="home_llm")),
            2,
        ),  # what is shown, and what its markers are read from
        (lambda: events.on_reset("zephyr", boxes()), 1),
        (lambda: events.on_open(""), 1),
        (lambda: open_rows([Setup(model="tiny-chat", conversation=CHAT, template="zephyr")] * 3, 1), 1),
    ],
    ids=["another model", "another strategy", "another template", "the page opens", "rows open"],
)
def test_what_fills_boxes_and_shows_them_loads_once(act: Any, parses: int, counts: Counter[str]) -> None:
    """The model whose template goes into the box is the one that the view is made with."""
    act()
    counts.clear()
    assert "failure" not in json.loads(act()["view"])
    assert (counts["loads"], counts["parses"], counts["files"]) == (1, parses, 0)


@pytest.mark.parametrize("template", [DEFAULT, CUSTOM])
def test_rows_of_a_data_set_share_one_load(template: str, counts: Counter[str]) -> None:
    """However many are shown, before an audit or as a batch."""
    data, now = DataBoxes(data_example="messages.jsonl"), boxes(template=template, special_tokens='{"pad_token": "x"}')
    for act, name in ((preview_of, "data_preview"), (partial(on_batch, BatchBoxes()), "batch")):
        counts.clear()
        assert len(json.loads(act(data, now)[name])["rows"]) > 1
        assert counts["loads"] == 1


def test_a_model_without_a_template_is_said_to_have_none(counts: Counter[str], tmp_path: Path) -> None:
    """With what to do; a template in the box is then all that is asked for."""
    for file in Path("models/tiny-chat").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    failure = json.loads(events.on_inspect(boxes(model=str(tmp_path), template=""))["view"])["failure"]
    assert "has no chat template" in failure["detail"]
    counts.clear()
    assert json.loads(events.on_inspect(boxes(model=str(tmp_path), template=ZEPHYR))["view"])["ids"]
    assert counts == {"loads": 1, "parses": 1}
