"""Rows of published data sets that say which answer is better, what trains, or who speaks, each in a way of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.audit.run import Task, audit
from inspector.audit.text import audited_answer
from inspector.conversation import IGNORED, Conversation, Step
from inspector.data.formats import conversation_of, detect, read
from inspector.data.layouts import Format
from inspector.data.source import BadRow, DataSource, Row
from inspector.errors import ConversationError, FormatError
from tests.oracles.row_formats import reading
from tests.support import models

U, A, B = ({"role": role, "content": text} for role, text in (("user", "Q"), ("assistant", "A"), ("assistant", "B")))
CALL = {"role": "tool_call", "content": '{"name": "f", "arguments": {}}'}
TOOL_USE = {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "r"}
PAIR = "user: Q / assistant: A · rejected: user: Q / assistant: B"
OTHER = "user: Q / assistant: B · rejected: user: Q / assistant: A"


def as_read(row: dict[str, Any]) -> str:
    """What is read of a row by itself."""
    return reading(read(row, detect([row])))


# --- verdicts


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ({"overall_preference": -1}, PAIR), ({"overall_preference": 3}, OTHER), ({"preference_strength": 2}, OTHER),
        ({"winner": "model_a"}, PAIR), ({"winner": "Model_B"}, OTHER), ({"winner": 1}, OTHER),
        ({"better_response_id": 0}, PAIR), ({"labels": 1}, PAIR), ({"labels": 0}, OTHER),
        ({"score_0": 0.5, "score_1": -0.5}, PAIR), ({"score_a": 1, "score_b": 2}, OTHER),
    ],
)  # fmt: skip
def test_verdict_says_which_answer_is_chosen(verdict: dict[str, Any], expected: str) -> None:
    """As numbers of either sign, names of sides, or two scores."""
    assert as_read({"prompt": "Q", "response_a": "A", "response_b": "B", **verdict}) == expected


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        ({"winner": "tie (bothbad)"}, "'winner' is 'tie (bothbad)', by which neither answer is better: the row is"),
        ({"overall_preference": 0}, "'overall_preference' is 0, by which neither answer is better"),
        ({"score_0": 1, "score_1": 1}, "'score_0' is 1, by which neither answer is better"),
        ({"winner": "model_c"}, "'winner' is 'model_c', and must say which answer is better: model_a, model_b or tie"),
        ({"overall_preference": "x"}, "'overall_preference' is 'x', and must say which answer is better: a number"),
        ({"score_0": 1, "score_1": None}, "The column 'score_1' is null, and must be a score"),
    ],
)  # fmt: skip
def test_verdict_that_chooses_none_is_said(verdict: dict[str, Any], message: str) -> None:
    """The row is not a pair, and the column and its value say why."""
    with pytest.raises(FormatError) as error:
        as_read({"prompt": "Q", "response_a": "A", "response_b": "B", **verdict})
    assert message in str(error.value)


def test_whole_chats_with_other_answers_on_the_way_are_a_pair() -> None:
    """What differs is answers, and what is asked is the same: no finding says that the prompts differ."""
    sides = [[U, first, {**U, "content": "More?"}, last] for first, last in ((A, B), (B, A))]
    pair = read(row := {"conversation_a": sides[0], "conversation_b": sides[1], "winner": "model_a"}, detect([row]))
    assert (pair.prompt_messages, pair.conversation.changes) == (1, ())
    other = [[U, A], [{**U, "content": "P"}, B]]
    row = {"conversation_a": other[0], "conversation_b": other[1], "winner": "model_a"}
    assert [change.step for change in read(row, detect([row])).conversation.changes] == [Step.PAIRS]


def test_report_names_the_column_of_the_verdict(tmp_path: Path) -> None:
    """There is no column of chosen answers to map."""
    row = {"prompt": "Q", "response_a": "A", "response_b": "B", "winner": "model_b"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    report = audit(Task(model=inspector.load("tiny-chat")), DataSource(name=str(tmp_path / "rows.jsonl")), workers=1)
    assert audited_answer(report) == "Of each pair only the better answer, by the column 'winner', is audited."


# --- ranks


def ranked(*numbers: Any, name: str = "score") -> dict[str, Any]:
    """A prompt with an answer for each number, which is its text, too."""
    return {"prompt": "Q", "completions": [{"response": str(number), name: number} for number in numbers]}


def test_best_and_worst_of_ranked_answers_are_the_pair() -> None:
    """The highest score and the lowest, or the other way round of ranks; said where others are left out."""
    assert as_read(ranked(5, 9, 1, 9)) == "user: Q / assistant: 9 · rejected: user: Q / assistant: 1"
    assert as_read(ranked(3, 1, 2, name="rank")) == "user: Q / assistant: 1 · rejected: user: Q / assistant: 3"
    assert as_read(ranked(3, None, 2)) == "user: Q / assistant: 3 · rejected: user: Q / assistant: 2"
    row = ranked(5, 9, 1)
    (change,) = read(row, detect([row])).conversation.changes
    assert (change.step, change.where, change.before, change.after) == (
        Step.RANKING, "completions · score", [5, 9, 1], [9, 1],
    )  # fmt: skip
    assert read(ranked(5, 9), detect([row])).conversation.changes == ()


@pytest.mark.parametrize(
    ("row", "as_given", "message"),
    [
        (ranked(1, 1), [], "No two answers in the column 'completions' differ in their score: they are not a pair."),
        (ranked(1, None), [], "No two answers in the column 'completions' differ in their score"),
        (ranked(1, 2, 3), ["ranking"], "The column 'completions' holds 3 answers: they are not one pair."),
    ],
)
def test_ranked_answers_that_are_no_pair_are_refused(row: dict[str, Any], as_given: list[str], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(row, detect([row]), as_given)
    later = detect([ranked(1, 2)])
    with pytest.raises(FormatError, match="'completions' is text, and must be answers, each with a rank or a score"):
        read({"prompt": "Q", "completions": "x"}, later)


def test_tree_is_read_along_its_best_replies() -> None:
    """And the others are said; left as it is, it is not a conversation."""
    replies = [{"role": "assistant", "text": text, "rank": rank, "replies": []} for text, rank in (("B", 1), ("A", 0))]
    row = {"prompt": {"role": "prompter", "text": "Q", "replies": replies}}
    sample = read(row, detect([row]))
    assert reading(sample) == "user: Q / assistant: A"
    assert sample.conversation.changes[0].where == "prompt, of whose replies 1 are left out"
    with pytest.raises(FormatError, match="The column 'prompt' has 1 more replies: it is not one conversation"):
        read(row, detect([row]), ["ranking"])
    with pytest.raises(FormatError, match="The column 'prompt' is text, and must be a message with its replies"):
        read({"prompt": "Q"}, detect([row]))


# --- segments


SEGMENTS = [{"label": False, "text": "<|im_start|>user\nHi<|im_end|>\n"}, {"label": True, "text": "Ho"}]


def test_segments_train_as_they_are_labelled() -> None:
    """Each text is tokenized by itself, and no template is asked."""
    model = models.model("chatml")
    found = inspector.inspect(model, {"segments": SEGMENTS})
    parts = [model.tokenizer(part["text"], add_special_tokens=False)["input_ids"] for part in SEGMENTS]
    assert found.ids == [id for part in parts for id in part]
    assert found.labels == [IGNORED] * len(parts[0]) + parts[1]
    saved = conversation_of({"segments": SEGMENTS}).to_json()
    assert saved == {"segments": SEGMENTS}
    assert inspector.inspect(model, saved).labels == found.labels


@pytest.mark.parametrize(
    ("segments", "error", "message"),
    [
        ([{"label": True, "text": 1}], ConversationError, r"segments\[0\] must be an object with `label` and `text`"),
        ([{"label": "x", "text": "a"}], ConversationError, r"segments\[0\]: `label` is 'x', and must be true or false"),
        ([{"label": True, "text": ""}], FormatError, "The row's segments hold no token"),
        ("x", FormatError, "The column 'segments' is text, and must be a list of texts with labels"),
    ],
)
def test_segments_that_are_none_are_refused(segments: Any, error: type[Exception], message: str) -> None:
    layout = detect([{"segments": SEGMENTS}])
    with pytest.raises(error, match=message):
        inspector.inspect(models.model("chatml"), read({"segments": segments}, layout).conversation)


# --- who speaks


def test_messages_of_others_are_read_alike_by_themselves_and_in_rows() -> None:
    """A list, an object with messages, and a row of a data set."""
    chats: list[list[dict[str, Any]]] = [
        [{"type": "human", "content": "Q"}, {"type": "ai", "content": "A"}],
        [{"parts": [{"text": "Q"}]}, {"role": "model", "parts": [{"text": "A", "functionCall": None}]}],
        [{"type": "chat", "data": {"role": "user", "content": "Q"}}, {"type": "AIMessageChunk", "content": "A"}],
        [
            {"lc": 1, "type": "constructor", "id": ["schema", f"{name}Message"], "kwargs": {"content": text}}
            for name, text in (("Human", "Q"), ("AI", "A"))
        ],
    ]  # fmt: skip
    for chat in chats:
        for source in (chat, {"messages": chat}, {"contents": chat, "id": 1}):
            assert list(conversation_of(source).messages) == [U, A]


def test_call_after_an_answer_is_of_the_same_turn() -> None:
    """Its text and its calls are one message; another flag, or text before the call, makes it another."""
    read = conversation_of({"messages": [U, A, CALL, CALL]})
    (_, answer) = read.messages
    assert (answer["content"], len(answer["tool_calls"])) == ("A", 2)
    assert [change.where for change in read.changes if "joined" in change.where] == [
        "message 2, which is joined to the answer before it"
    ]
    for other in ({**CALL, "loss": False}, {**CALL, "content": f"<think>t</think>{CALL['content']}"}):
        assert len(conversation_of({"messages": [U, A, other]}).messages) == 3
    assert len(conversation_of({"messages": [U, CALL]}).messages) == 2


@pytest.mark.parametrize(
    ("prompt", "completion", "count"),
    [
        ([U, *[CALL] * 2, {"role": "tool", "content": "r"}], [A], 3),
        ([U], [CALL, CALL], 1),
        ([U, A], [CALL, CALL], 2),
        ([U, CALL], [CALL, A], 2),
        ([U, {**A, "content": [TOOL_USE]}, {**U, "content": [RESULT, RESULT, {"type": "text", "text": "!"}]}], [A], 5),
    ],
)
def test_prompt_ends_where_it_ended(prompt: list[Any], completion: list[Any], count: int) -> None:
    """However many messages its calls and results become: none of the prompt trains, and all of the completion."""
    row = {"prompt": prompt, "completion": completion}
    sample = read(row, detect([row]))
    assert sample.prompt_messages == count
    found = inspector.inspect(models.model("chatml"), sample.conversation)
    trained = [index for index, turn in found.example.answers() if any(found.trained[i] for i in turn.tokens)]
    answers = sample.conversation.assistant_indices()
    assert trained == [index for index in answers if index >= count]
    assert sample.conversation.prompt_messages == (count if any(index < count for index in answers) else 0)


def test_calls_among_parts_are_read() -> None:
    """Text and calls are one message, each result is one, and what was said with it another; said as changes."""
    chat = [U, {**A, "content": [{"type": "text", "text": "A"}, TOOL_USE]}, {**U, "content": [RESULT, U["content"]]}, B]
    read = conversation_of({"messages": chat})
    assert [message["role"] for message in read.messages] == ["user", "assistant", "tool", "user", "assistant"]
    assert read.messages[1]["content"] == "A"
    assert read.messages[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": {"x": 1}}
    assert read.messages[2] == {"role": "tool", "tool_call_id": "t", "content": "r"}
    assert [change.where for change in read.changes] == ["message 1 · content", "message 2 · content"]
    assert conversation_of({"messages": chat}, ["calls"]).messages[1]["content"][1] == TOOL_USE


def test_reasoning_among_parts_becomes_a_field() -> None:
    """Where the template takes text alone."""
    parts = [{"type": "thinking", "thinking": "T", "signature": "x"}, {"type": "text", "text": "A"}]
    said = "{{ m.reasoning_content }}{{ m.content }}"
    template = f"{{% for m in messages %}}<|im_start|>{{{{ m.role }}}}\n{said}<|im_end|>{{% endfor %}}"
    found = inspector.inspect(inspector.load("tiny-chat", template=template), [U, {**A, "content": parts}])
    assert found.text.endswith("assistant\nTA<|im_end|>")
    assert found.example.conversation.messages[1] == {**A, "reasoning_content": "T"}
    assert {change.step for change in found.example.conversation.changes} == {Step.CONTENT}
    alone = inspector.inspect(found.model, [U, {**A, "content": parts[:1]}]).example.conversation
    assert alone.messages[1] == {**A, "content": "", "reasoning_content": "T"}
    loop = "{% for p in m.content %}{{ p if m.content is string else p.text }}{% endfor %}"
    takes = inspector.load("tiny-chat", template=template.replace(said, loop))
    kept = inspector.inspect(takes, [U, {**A, "content": parts}]).example.conversation
    assert kept.messages[1] == {**A, "content": parts}


def test_system_text_may_be_a_message() -> None:
    """In a list of one."""
    row = {"system": [{"role": "system", "content": "S"}], "prompt": "Q", "completion": "A"}
    assert as_read(row) == "system: S / user: Q / assistant: A"


def test_parts_of_gemini_become_fields() -> None:
    """Thoughts, several texts, several results and media, and one text as it is."""
    model = {"role": "model", "parts": [{"text": "T", "thought": True}, {"text": "A"}, {"text": "B"}]}
    results = {"role": "user", "parts": [{"functionResponse": {"name": n, "response": {"r": n}}} for n in "fg"]}
    image = {"role": "user", "parts": [{"text": "Q"}, {"inlineData": {"mimeType": "image/png", "data": "x"}}]}
    read = conversation_of({"contents": [image, model, results]}).messages
    assert read[0]["content"][1]["type"] == "image"
    assert read[1]["reasoning_content"] == "T"
    assert [part["text"] for part in read[1]["content"]] == ["A", "B"]
    assert read[2:] == tuple({"role": "tool", "name": name, "content": {"r": name}} for name in "fg")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps([U, A]), [Row]),
        (f"{json.dumps([U, A])}\n{json.dumps([U, B])}", [Row, Row]),
        (f"{json.dumps({'messages': [U, A]})}\n{json.dumps([U, B])}", [Row, Row]),
        (f"{json.dumps({'messages': [U, A]})}\n[1, 2]", [Row, BadRow]),
    ],
)
def test_lines_that_are_lists_of_messages_are_rows(text: str, expected: list[type], tmp_path: Path) -> None:
    """Each is a conversation; another list is not a row."""
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    rows = list(DataSource(name=str(tmp_path / "rows.jsonl")).rows())
    assert [type(row) for row in rows] == expected
    assert all(isinstance(row, BadRow) or set(row.value) == {"messages"} for row in rows)


def test_texts_in_turn_are_not_taken_for_messages_where_that_is_not_wanted() -> None:
    row = {"data": ["Q", "A"]}
    assert as_read(row) == "user: Q / assistant: A"
    with pytest.raises(FormatError, match=r"data\[0\] is text, and must be a message with role and content"):
        read(row, detect([row]), ["speakers"])


# --- what is not read


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "Q", "completions": ["a", "b"], "labels": [True, False]},
            "These are stepwise rows, as TRL's PRMTr",
        ),
        ({"parent_id": "x", "text": "Hi", "role": "prompter"}, "Each row is one message of a tree, as OASST has them"),
        ({"role": "user", "content": "Hi"}, "Each row is a single message, and nothing says which of them belong"),
        ({"from": "human", "value": "Hi"}, "Each row is a single message, and nothing says which"),
        ({"type": "human", "content": "Hi"}, "Each row is a single message, and nothing says which"),
        (
            {"prompt_input_ids": [1], "chosen_ids": [1, 2]},
            "These rows hold ids of tokens, as a trainer",
        ),
        (
            {"input_ids_chosen": [1], "input_ids_rejected": [2]},
            "These rows hold ids of tokens",
        ),
        (
            {"prompt": [U], "reward_model": {"ground_truth": "4"}},
            "These are prompts with what an answer is checked agai",
        ),
        ({"prompt": "Q", "reply": "A"}, "The rows hold a prompt, and no column that is known to be its answer"),
    ],
)
def test_known_rows_without_a_conversation_are_named(row: dict[str, Any], message: str) -> None:
    """What they are, and what to do; with the columns there are."""
    with pytest.raises(FormatError) as error:
        detect([row])
    assert str(error.value).startswith(message)
    assert str(error.value).endswith(f"The columns are {', '.join(map(repr, row))}.")


def test_text_beside_a_role_can_be_asked_for() -> None:
    """Whoever names the column means it."""
    row = {"role": "user", "text": "Hi"}
    assert detect([row], {"format": "text"}).format is Format.TEXT
    assert detect([row], {"text": "text"}).format is Format.TEXT
    assert detect([{"text": "Hi", "label": 1}]).format is Format.TEXT
    assert detect([{"text": '["a", "b"]'}]).format is Format.TEXT
    assert detect([{"text": "Hi", "role": "engineer"}]).format is Format.TEXT
    assert detect([{"text": "Hi", "prompt": "Hi"}]).format is Format.TEXT


@pytest.mark.parametrize("flag", [{"trainable": False}, {"loss_mask": 0}, {"train": "false"}])
def test_flags_of_other_names_are_found(flag: dict[str, Any]) -> None:
    """As verl's and tinker's, and as texts; `keep: flagged` goes by them."""
    model, chat = models.model("chatml"), [U, {**A, **flag}, U, B]
    codes = [finding.code.value for finding in inspector.inspect(model, chat).findings]
    assert "flags_not_obeyed" in codes
    kept = inspector.inspect(model, chat, modifiers={"keep": "flagged"})
    assert models.trained_text(kept).startswith("B")


def test_characters_that_are_flagged_are_said() -> None:
    """axolotl's `train_detail`: the message trains whole all the same."""
    detail = [{"begin_offset": 0, "end_offset": 1, "train": False}]
    found = inspector.inspect(models.model("chatml"), [U, {**A, "train_detail": detail}]).findings
    assert [f.detail.split(",")[0] for f in found if f.code == "flags_not_obeyed"] == [
        "A flag is not obeyed: message 1 has train_detail"
    ]


def test_columns_that_hold_nothing_are_not_the_layout() -> None:
    """As Arrow fills them in where data sets were joined: the layout is told from what is there."""
    row = {"messages": None, "prompt": "Q", "completion": "A", "tools": None}
    assert as_read(row) == "user: Q / assistant: A"
    assert detect([row]).columns == {"prompt": "prompt", "completion": "completion", "tools": "tools"}
    assert as_read({"problem": "Q", "solution": "A", "messages": None}) == "user: Q / assistant: A"
    with pytest.raises(FormatError, match="The column 'messages' is null"):
        as_read({"messages": None})


def test_several_answers_are_not_a_chat() -> None:
    """A list of texts is taken in turn only where a chat stands."""
    row = {"prompt": "Q", "completion": ["A", "B"]}
    with pytest.raises(FormatError, match=r"completion\[0\] is text, and must be a message with role and content"):
        read(row, detect([row]))


def test_segments_are_a_part_of_what_makes_conversations_equal() -> None:
    assert Conversation.parse({"segments": SEGMENTS}) != Conversation.parse({"segments": SEGMENTS[1:]})
