"""What the page does with its boxes, without a browser: setups, rows, remedies, the gallery, the panes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

import inspector
from inspector.exports.targets import TARGETS
from inspector.gallery import gallery
from inspector.setup import Setup
from inspector.strategies import STRATEGIES
from inspector.trainers.markers import propose_markers
from ui.inspect_tab import events
from ui.inspect_tab.comparison import on_compare, on_compare_long
from ui.inspect_tab.export_pane import LABELS, on_export, on_rows
from ui.inspect_tab.markers_pane import on_find, on_words
from ui.inspect_tab.open import OPENED, open_rows
from ui.inspect_tab.template_pane import on_tags
from ui.inspect_tab.training_box import prefilled, strategy_about, training_values
from ui.parts.report import code, pieces, report, table
from ui.wiring.boxes import Boxes, setup_of, values_of
from ui.wiring.conversation_json import ConversationJsonError, dump
from ui.wiring.models import model_of
from ui.wiring.open_setups import Rows
from ui.wiring.wires import INPUTS

CHAT = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "\nHello."}]
TWO = [*CHAT, {"role": "user", "content": "And?"}, {"role": "assistant", "content": "That is all."}]
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def setup(conversation: Any = CHAT, **fields: Any) -> Setup:
    return Setup(model="tiny-chat", conversation=conversation, **fields)


def boxes(conversation: Any = CHAT, **fields: Any) -> Boxes:
    return Boxes(model="tiny-chat", conversation=dump(conversation), **fields)


def view(changes: Any) -> dict[str, Any]:
    return dict(json.loads(changes["view"]))


def opened(*setups: Setup, **options: Any) -> Boxes:
    """The boxes once setups were opened."""
    return Boxes().with_changes(open_rows(setups, **options))


def said(changes: Any, name: str) -> str:
    return "\n".join(map(str, (block.get("text", block) for block in json.loads(changes[name])["blocks"])))


# --- boxes and setups


@pytest.mark.parametrize(
    "asked",
    [
        setup(),
        setup(options={"turns": "last", "straddlers": False}, modifiers={"max_length": 20, "keep": "last_turn"}),
        setup(strategy="home_llm", options={"prefix_ids": [2, 1558, 203], "suffix_ids": [3]}, template=CHATML),
        setup({"messages": CHAT, "add_generation_prompt": True}, special_tokens={"pad_token": "<|im_start|>"}),
        setup(template="zephyr"),
    ],
)
def test_the_boxes_hold_the_setup_that_they_were_filled_from(asked: Setup) -> None:
    """Model, template, tokens, strategy, options and modifiers go into the boxes and come out of them."""
    assert setup_of(opened(asked)) == asked


def test_a_template_that_is_the_default_is_not_written_out() -> None:
    """The source in the box is called by its name where it has one, so that links and rows stay short."""
    model = inspector.load("tiny-chat")
    assert setup_of(boxes(template=model.template)).template == ""
    assert setup_of(boxes(template=model.with_template("chatml").template)).template == "chatml"
    assert setup_of(boxes(template=CHATML)).template == CHATML


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"special_tokens": "[1]"}, "Special tokens must be an object, such as"),
        ({"special_tokens": "{"}, "Special tokens is not JSON"),
        ({"strategy": "full", "strategy_options": "3"}, "Options must be an object"),
        ({"conversation": "["}, "The conversation is not JSON"),
    ],
)
def test_a_box_without_its_json_is_named(bad: dict[str, str], says: str) -> None:
    """The error says which box to mend."""
    with pytest.raises(ConversationJsonError, match=says):
        setup_of(Boxes(**{"model": "tiny-chat", "conversation": dump(CHAT), **bad}))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"max_length": 0}, "max_length is 0"),
        ({"keep": "some"}, "keep is 'some'"),
        ({"strategy": "nobody"}, "There is no strategy 'nobody'"),
        ({"strategy": "home_llm"}, "needs the option 'prefix_ids'"),
        ({"strategy": "home_llm", "strategy_options": '{"prefix_ids": "", "suffix_ids": [3]}'}, "prefix_ids is ''"),
        ({"special_tokens": '{"sad_token": "x"}'}, "no special token 'sad_token'"),
        ({"model": "no/such/model/there"}, "no/such/model/there"),
    ],
)
def test_a_bad_value_is_the_views_failure(bad: dict[str, Any], says: str) -> None:
    """Whatever a box holds, the view says what is wrong with it."""
    changes = events.on_inspect(boxes().with_changes(bad))
    assert says in view(changes)["failure"]["detail"]


def test_every_input_has_a_box_that_opening_fills() -> None:
    """None is left as it was."""
    assert set(INPUTS) <= set(OPENED)
    assert set(open_rows([setup()])) == set(OPENED)


# --- strategies


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "traced"])
def test_every_strategy_starts_with_the_options_it_needs(strategy: str) -> None:
    """The box is filled so that the strategy runs, or refuses this conversation for a reason of its own."""
    changes = events.on_strategy(boxes(TWO, strategy=strategy))
    failure = view(changes).get("failure", {}).get("detail", "")
    assert "needs the option" not in failure
    assert "has no option" not in failure
    assert strategy_about(strategy)
    assert changes["policy_box"]["visible"] is False


def test_markers_fill_the_options_they_fit() -> None:
    """Ids where ids are searched for, texts where texts are; nothing where no marker is known."""
    markers = propose_markers([inspector.inspect(inspector.load("tiny-chat"), CHAT[:1] + TWO[3:])])
    assert json.loads(prefilled("home_llm", markers)) == {"prefix_ids": [2, 1558, 203], "suffix_ids": [3]}
    assert json.loads(prefilled("string_span", markers)) == {"response_template": "<|im_start|>assistant\n"}
    assert json.loads(prefilled("trl_completion_collator", markers))["instruction"] == "<|im_start|>user\n"
    assert json.loads(prefilled("dpo_boundary", markers)) == {"rejected": ""}
    assert json.loads(prefilled("home_llm", None)) == {"prefix_ids": "", "suffix_ids": ""}
    assert prefilled("full", markers) == ""
    assert training_values("full")["options_box"]["visible"] is False
    assert training_values("traced")["policy_box"]["visible"] is True


def test_other_trainers_are_measured_by_the_exact_mask() -> None:
    """Whatever is shown; over the same tokens, the best-known first."""
    shown = boxes(TWO, strategy="full")
    data, compared = view(events.on_inspect(shown)), json.loads(on_compare(shown)["comparison"])
    assert data["verdict"]["sentence"].startswith("No masking trains every token")
    assert compared["key"] == data["key"] == view(events.on_inspect(boxes(TWO)))["key"]
    names = [entry["name"] for entry in compared["strategies"]]
    assert {"full", "home_llm", "chatml"} <= set(names)
    known = [entry["isKnown"] for entry in compared["strategies"] if entry["reasons"]]
    assert known == sorted(known, reverse=True)
    assert view(events.on_inspect(boxes(TWO, turns="last")))["key"] != data["key"]


def test_a_long_conversation_is_compared_on_request() -> None:
    """How many tokens there are is said until then."""
    long = boxes([{**message, "content": message["content"] * 400} for message in TWO])
    waiting = json.loads(on_compare(long)["comparison"])
    assert waiting["waits"] > 4_000
    assert waiting["strategies"] == []
    compared = json.loads(on_compare_long(long)["comparison"])
    assert compared["waits"] is None
    assert compared["key"] == waiting["key"]
    assert compared["strategies"]


def test_nothing_is_compared_where_nothing_is_shown() -> None:
    """The view says why."""
    assert on_compare(boxes().with_changes({"conversation": "["})) == {"comparison": ""}


def test_the_trainers_own_warning_is_shown() -> None:
    """What it would print stands above the tokens."""
    options = '{"prefix_ids": [7, 7, 7], "suffix_ids": [3]}'
    (notice, *_) = view(events.on_inspect(boxes(strategy="home_llm", strategy_options=options)))["notices"]
    assert notice.startswith("home_llm says: warning! example had no assistant response in it!")


def test_leaving_the_revision_as_it_is_keeps_an_edited_template() -> None:
    """Passing through the box by keyboard is no edit."""
    assert events.on_revision(("tiny-chat", ""), boxes(template=CHATML)) == {}
    assert "template" in events.on_revision(("tiny-chat", "v2"), boxes(template=CHATML))


# --- rows


def test_an_edited_conversation_stays_with_its_row() -> None:
    """And every other edit is made for all rows."""
    now = opened(setup(CHAT), setup(TWO), at=1)
    assert view(open_rows([setup(CHAT), setup(TWO)], at=1))["row"] == [1, 2, ""]
    now = now.with_changes({"conversation": dump(TWO[2:]), "max_length": 30})
    assert now.rows is not None
    rows = now.rows.edited(setup_of(now)).setups
    assert rows == (setup(CHAT, modifiers={"max_length": 30}), setup(TWO[2:], modifiers={"max_length": 30}))


def test_a_row_with_another_template_keeps_it() -> None:
    """What was opened, not what the first row has, tells what was edited."""
    now = opened(setup(template="zephyr"), setup(TWO, template="default"), at=1)
    changes = events.on_row({"step": -1}, now)
    assert setup_of(now.with_changes(changes)).template == "zephyr"
    assert [row.template for row in changes["rows"].setups] == ["zephyr", ""]


def test_rows_are_walked_to_their_ends() -> None:
    """A step further than the last row stays there; a broken row is not left."""
    now = opened(setup(CHAT), setup(TWO))
    assert view(events.on_row({"step": 1}, now))["row"] == [1, 2, ""]
    assert view(events.on_row({"step": 9}, now))["row"] == [1, 2, ""]
    assert view(events.on_row({"step": -1}, now))["row"] == [0, 2, ""]
    assert view(events.on_row({}, now))["row"] == [0, 2, ""]
    broken = events.on_row({"step": 1}, now.with_changes({"conversation": "["}))
    assert view(broken)["notices"] == ["Fix this row before you leave it."]
    assert view(broken)["row"] == [0, 2, ""]


def test_one_row_has_no_bar() -> None:
    """A single setup opens as the page always looked."""
    assert view(open_rows([setup()]))["row"] is None


def test_a_link_reopens_the_row_that_is_shown() -> None:
    """All rows, the same one of them, and the token it was opened at."""
    link = view(open_rows([setup(CHAT), setup(TWO)], at=1, token=5))["link"]
    changes = events.on_open(link)
    assert view(changes)["row"] == [1, 2, ""]
    assert view(changes)["selected"] == 5
    assert [row.conversation for row in changes["rows"].setups] == [CHAT, TWO]
    assert json.loads(changes["conversation"]) == TWO


def test_a_link_with_a_bad_setup_opens_the_page() -> None:
    """The view says what is wrong with it, and the boxes hold the default."""
    from ui.inspect_tab.links import ViewState, encode_link

    changes = events.on_open(encode_link(ViewState(model="tiny-chat", conversation="[]", modifiers={"width": 3})))
    assert "no modifier 'width'" in view(changes)["failure"]["detail"]
    assert changes["model"] == "tiny-chat"


# --- remedies and the gallery


def test_a_split_gives_rows_and_can_be_undone() -> None:
    """One example per turn, what became of the finding, and the way back."""
    entry = next(entry for entry in gallery() if entry.code == "content_lost")
    now = opened(entry.setup)
    changes = events.on_remedy({"name": "split_turns", "code": "content_lost"}, now)
    assert view(changes)["row"] == [0, 2, ""]
    assert view(changes)["notices"][0].endswith("content_lost is still there in 1 of 2 rows.")
    assert changes["keep"] == "last_response"
    back = events.on_undo({}, now.with_changes(changes))
    assert view(back)["row"] is None
    assert setup_of(Boxes().with_changes(back)) == entry.setup


def test_a_remedy_for_one_row_of_several_keeps_the_others() -> None:
    """A changed strategy is that of all rows; a split takes the row's place."""
    now = opened(setup(TWO, strategy="full"), setup(CHAT, strategy="full"), at=1)
    changes = events.on_remedy({"name": "train_exact_labels", "code": "foreign_text_in_loss"}, now)
    assert [row.strategy for row in changes["rows"].setups] == ["traced", "traced"]
    assert view(changes)["row"] == [1, 2, ""]
    rows = Rows(setups=(setup(CHAT), setup(TWO)), at=1).replaced([setup(TWO[:2]), setup(TWO)])
    assert [row.conversation for row in rows.setups] == [CHAT, TWO[:2], TWO]


def test_a_refused_conversation_is_offered_its_remedy() -> None:
    """The template refuses two answers in a row; joining them is offered, and helps."""
    entry = next(entry for entry in gallery() if entry.code == "roles_must_alternate")
    changes = open_rows([entry.setup])
    assert view(changes)["remedies"]["roles_must_alternate"][0]["name"] == "join_messages"
    event = {"name": "join_messages", "code": "roles_must_alternate"}
    after = view(events.on_remedy(event, Boxes().with_changes(changes)))
    assert "failure" not in after
    assert after["notices"][0].endswith("roles_must_alternate is gone.")


def test_a_remedy_that_cannot_be_applied_says_why() -> None:
    """The tokens stay where they are."""
    after = view(events.on_remedy({"name": "leave_straddlers_out", "code": "x"}, boxes(straddlers=False)))
    assert after["notices"][0].startswith("Not applied: ")
    assert after["ids"]
    assert "no remedy 'None'" in view(events.on_remedy({}, boxes()))["notices"][0]


def test_a_remedy_that_breaks_is_said_and_leaves_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """The button waits for one."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(events, "apply_remedy", broken)
    assert "ZeroDivisionError: by zero" in view(events.on_remedy({"name": "x"}, boxes()))["failure"]["detail"]


@pytest.mark.parametrize("entry", gallery(), ids=lambda entry: entry.name)
def test_every_entry_opens_with_its_finding(entry: Any) -> None:
    """The view begins with what to look at, and lists the finding that the entry is about."""
    changes = events.on_gallery(entry.name, boxes())
    data = view(changes)
    assert data["notices"][0] == entry.about
    assert entry.code is None or entry.code in [finding["code"] for finding in data["findings"]]
    assert changes["strategy"] == entry.setup.strategy


def test_mistakes_are_listed_in_words() -> None:
    """Those of findings by what heads them, then the lessons in their order."""
    labels = dict(events.gallery_choices())
    assert next(iter(labels.items())) == ("One token spans two texts", "boundary_merge")
    assert len(labels) == len(gallery())
    assert not [label for label in labels if "_" in label and " " not in label]


# --- panes


def test_special_tokens_are_copied_once() -> None:
    """The tokenizer with other tokens is kept, and the one it was made from stays as it is."""
    asked = setup(special_tokens={"pad_token": "<|im_start|>"})
    one, other = model_of(asked), model_of(asked)
    assert one.tokenizer is other.tokenizer
    assert one.special_tokens["pad_token"] == "<|im_start|>"
    assert inspector.load("tiny-chat").special_tokens["pad_token"] != "<|im_start|>"
    assert values_of(asked)["special_tokens"] == '{\n  "pad_token": "<|im_start|>"\n}'


def test_a_report_cannot_close_a_script() -> None:
    """Blocks are JSON in which no tag survives."""
    value = report(code("</script>", label="x"), pieces("<b>", [(1, "<i>")]), table(["<"], [["<", "<"]]))
    assert "<" not in value
    assert json.loads(value)["blocks"][0] == {"kind": "code", "text": "</script>", "label": "x", "isDiff": False}


def test_markers_are_found_and_missed_by_name() -> None:
    """The ids, how many turns they find, the token that swallowed a boundary, and find_split beside them."""
    text = said(on_find(boxes()), "markers_report")
    assert "2,1558,203" in text
    assert "26 of 31 answers" in text
    assert r"'\\n\\n'" in text
    assert "after a newline" in text
    assert "not JSON" in said(on_find(boxes().with_changes({"conversation": "["})), "markers_report")


def test_words_are_shown_as_their_tokens() -> None:
    """Ids and pieces of both; an unknown model is named."""
    shown = json.loads(on_words("Computerwiz", "Computer wiz", boxes())["pieces"])["blocks"]
    assert ["".join(token["text"] for token in block["tokens"]) for block in shown] == ["Computerwiz", "Computer wiz"]
    assert "nobody/there" in said(on_words("a", "b", Boxes(model="nobody/there/at/all")), "pieces")


def test_tags_are_shown_as_a_diff_or_refused_with_the_reason() -> None:
    """What was proven, the diff, the file; or why not."""
    changes = on_tags(boxes(template=CHATML))
    blocks = {block["kind"]: block for block in json.loads(changes["template_report"])["blocks"]}
    assert blocks["code"]["isDiff"]
    assert "+" in [line[:1] for line in blocks["code"]["text"].splitlines()]
    assert blocks["files"]["files"] == [{"name": "training_template.jinja", "text": changes["template"]}]
    assert said(changes, "template_report").startswith("Verified: ")
    refused = on_tags(boxes(template="no loop here {{ messages[0].content }}"))
    assert "template" not in refused
    assert said(refused, "template_report").startswith("Not verified: ")
    assert said(on_tags(boxes(template="{% for")), "template_report").startswith("Not verified: ")


@pytest.mark.parametrize("target", list(TARGETS))
def test_every_trainer_has_a_label_and_a_verdict(target: str) -> None:
    """The sentence comes first, with a sign and its words; the code is there to copy."""
    assert target in LABELS
    first, second, *_ = json.loads(on_export(target, boxes(TWO))["export_report"])["blocks"]
    assert first["sign"] in ("✓ Same tokens.", "✗ Other tokens.", "? Unknown.")
    assert first["text"]
    assert second["kind"] == "code"


def test_all_open_rows_are_written_with_their_labels() -> None:
    """The edited row included; a row that fails is named."""
    now = opened(setup(CHAT), setup(TWO)).with_changes({"conversation": dump(TWO[2:])})
    file = json.loads(on_rows("jsonl", now)["saver"])
    rows = [json.loads(line) for line in base64.b64decode(file["base64"]).decode().splitlines()]
    assert file["name"] == "rows.jsonl"
    assert [row["labels"] for row in rows] == [
        inspector.inspect(inspector.load("tiny-chat"), chat).labels for chat in (TWO[2:], TWO)
    ]
    assert "No rows: row 2 of 2" in said(on_rows("jsonl", opened(setup(CHAT), setup([]))), "rows_report")


# --- what is pasted


@pytest.mark.parametrize(
    "pasted",
    [
        CHAT,
        {"messages": CHAT},
        {"conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Hello."}]},
        {"prompt": "Hi?", "completion": "Hello."},
        {"instruction": "Hi?", "input": "", "output": "Hello."},
    ],
)
def test_every_common_form_can_be_pasted(pasted: Any) -> None:
    """Messages, a row of a data set, a line of JSONL with its line end: the answer is trained."""
    for text in (dump(pasted), json.dumps(pasted) + "\n"):
        shown = view(events.on_json(boxes().with_changes({"conversation": text})))
        assert shown["verdict"]["sentence"].startswith("Exact: only the answer is trained")
        assert "Hello" in "".join(shown["texts"])


def test_a_labelled_row_can_be_pasted() -> None:
    """Its own labels are shown."""
    row = '{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}\n'
    shown = view(events.on_json(boxes().with_changes({"conversation": row})))
    assert (shown["ids"], shown["verdict"]["sentence"]) == (
        [5, 6, 7], "This row: its turns are unknown; 2 of 3 tokens are trained",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["", " \n", "[]", "{}", "null"])
def test_an_empty_box_says_what_to_paste(text: str) -> None:
    """It is nobody's error; a chip loads an example."""
    failure = view(events.on_json(boxes().with_changes({"conversation": text})))["failure"]
    assert failure["isHint"]
    assert failure["title"] == "Paste a conversation, or load an example."
    assert failure["detail"].startswith("Messages, ShareGPT, ")
    changes = events.on_chip({"name": "03-tool-call.json"}, boxes().with_changes({"conversation": text}))
    assert (changes["example"], view(changes)["roles"][-1]) == ("03-tool-call.json", "assistant")
    assert not view(events.on_json(boxes().with_changes({"conversation": "["})))["failure"]["isHint"]
