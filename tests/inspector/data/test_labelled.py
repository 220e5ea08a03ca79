"""Rows of ids and labels are read as the trainers that write them mean them, and what is none says why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inspector.conversation import Conversation, LabelledIds, Step
from inspector.data.formats import conversation_of, detect, read
from inspector.data.layouts import Format
from inspector.data.source import DataSource, Row
from inspector.errors import ConversationError, FormatError

IDS, LABELS = [1, 2, 3, 4], [-100, -100, 3, 4]


def read_row(row: dict[str, Any], **mapping: str) -> Conversation:
    """The row through the layout detected from it alone."""
    return read(row, detect([row], mapping)).conversation


def tensor(data: list[Any], dtype: str = "int64") -> dict[str, Any]:
    """A tensor as tinker writes it."""
    return {"data": data, "dtype": dtype, "shape": [len(data)]}


PREPARED: dict[str, dict[str, Any]] = {
    "axolotl": {"input_ids": IDS, "labels": LABELS, "attention_mask": [1] * 4, "position_ids": [0, 1, 2, 3]},
    "LLaMA-Factory": {"input_ids": IDS, "attention_mask": [1] * 4, "labels": LABELS, "images": None, "videos": None},
    "TRL completion": {"input_ids": IDS, "completion_mask": [0, 0, 1, 1]},
    "TRL assistant": {"input_ids": IDS, "assistant_masks": [0, 0, 1, 1], "completion_mask": [0, 1, 1, 1]},
    "TRL labels": {"input_ids": IDS, "labels": IDS, "completion_mask": [0, 0, 1, 1]},
    "verl": {"input_ids": IDS, "attention_mask": [1] * 4, "position_ids": [0, 1, 2, 3], "loss_mask": [0, 0, 1, 1]},
    "ms-swift": {"input_ids": IDS, "labels": LABELS, "loss_scale": [0.0, 0.0, 1.0, 1.0], "length": 4},
    "torchtune": {"tokens": IDS, "labels": LABELS},
    "transformers": {"input_ids": IDS, "attention_mask": [1] * 4, "assistant_masks": [False, False, True, True]},
    "tinker": {
        "model_input": {"chunks": [{"type": "encoded_text", "tokens": [1, 2]}, {"tokens": [3]}]},
        "loss_fn_inputs": {"target_tokens": tensor([2, 3, 4]), "weights": tensor([0.0, 1.0, 1.0], "float32")},
    },
    "tinker, before it": {"tokens": IDS, "weights": [0.0, 0.0, 1.0, 1.0]},
    "together": {"model_input": [1, 2, 3], "loss_fn_inputs": {"target_tokens": [2, 3, 4], "weights": [0, 1, 1]}},
    "Fireworks": {
        "source_jsonl_row_index": 4, "renderer": "qwen3", "train_on_what": "all_assistant_messages",
        "token_ids": IDS, "decoded_tokens": ["a", "b", "c", "d"], "token_weights": [0.0, 0.0, 1.0, 1.0],
    },
    "ours": {"input_ids": IDS, "labels": LABELS, "text": "abcd", "model": "tiny-chat", "strategy": "traced"},
    "of a run": {"row": 0, "cut": 0, "input_ids": IDS, "labels": LABELS, "tokens": 4, "trained": 2, "hash": 7},
    "beside a weight of the row": {"input_ids": IDS, "labels": LABELS, "weights": 0.5, "loss_mask": "x"},
    "as text": {"input_ids": json.dumps(IDS), "labels": json.dumps(LABELS)},
    "a batch of one": {"input_ids": [IDS], "labels": [LABELS], "attention_mask": [[1] * 4]},
    "of floats": {"input_ids": [1.0, 2.0, 3.0, 4.0], "labels": [-100.0, -100.0, 3.0, 4.0]},
    "beside messages": {"messages": [{"role": "user", "content": "Hi"}], "input_ids": IDS, "labels": LABELS},
}  # fmt: skip
"""Who writes it -> a row of four tokens, of which the last two train."""


@pytest.mark.parametrize("writer", PREPARED)
def test_prepared_rows_are_read(writer: str) -> None:
    """Each detected by its columns, and nothing changed in it."""
    row = PREPARED[writer]
    assert detect([row]).format is Format.LABELLED
    conversation = read_row(row)
    assert conversation.labelled == LabelledIds(tuple(IDS), tuple(LABELS))
    assert (conversation.messages, conversation.changes) == ((), ())
    assert conversation_of(row) == conversation


@pytest.mark.parametrize(
    ("row", "labelled", "said"),
    [
        (
            {"input_ids": IDS, "labels": [-100, 3, 4, -100]}, (IDS, LABELS),
            "labels, each of which stands at the token before its own",
        ),
        ({"input_ids": [1, 2, 3], "labels": [2, 3, 4]}, (IDS, [-100, 2, 3, 4]), "labels, each of which stands at"),
        (
            {"input_ids": [0, *IDS, 0], "labels": [-100, *LABELS, -100], "attention_mask": [0, 1, 1, 1, 1, 0]},
            (IDS, LABELS), "attention_mask, by which 2 of 6 tokens are padding and left out",
        ),
        (
            {"input_ids": IDS, "weights": [0, 0, 0.5, 1]}, (IDS, LABELS),
            "weights, whose weights other than 0 count as 1, such as that of token 2",
        ),
        (
            {"input_ids": IDS, "labels": LABELS, "position_ids": [0, 1, 0, 1]}, (IDS, LABELS),
            "2 rows are packed into one, which is read and trained as one",
        ),
        ({"input_ids": IDS, "labels": LABELS, "attention_mask": [1, 1, 2, 2]}, (IDS, LABELS), "2 rows are packed"),
        ({"input_ids": IDS, "labels": LABELS, "seq_lengths": [1, 1, 2]}, (IDS, LABELS), "3 rows are packed"),
    ],
)  # fmt: skip
def test_what_is_changed_is_said(row: dict[str, Any], labelled: tuple[list[int], list[int]], said: str) -> None:
    """As the step `labels`; without it such rows are refused."""
    conversation = read_row(row)
    assert conversation.to_json() == {"input_ids": labelled[0], "labels": labelled[1]}
    (change,) = conversation.changes
    assert change.step is Step.LABELS
    assert change.where.startswith(said)
    with pytest.raises(FormatError, match=r"These are not plain ids and labels: .* The step `labels` reads them"):
        read(row, detect([row]), as_given=["labels"])


def test_masks_about_the_next_token_are_moved_when_asked() -> None:
    """verl's first data set writes such ones; from a mask alone nobody can tell."""
    row = {"input_ids": IDS, "loss_mask": [0, 1, 1, 0]}
    assert read_row(row).labelled == LabelledIds(tuple(IDS), (-100, 2, 3, -100))
    assert read_row(row, format="labelled_shifted").labelled == LabelledIds(tuple(IDS), tuple(LABELS))
    with pytest.raises(FormatError, match="loss_mask trains the token after the last one, and the row does not hold"):
        read_row({"input_ids": IDS, "loss_mask": [0, 0, 1, 1]}, format="labelled_shifted")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"input_ids": IDS, "labels": [3, 4]},
            "labels is a list of 2, and input_ids one of 4: each token must have an",
        ),
        ({"input_ids": IDS, "loss_mask": [0, 1]}, "loss_mask is a list of 2, and input_ids one of 4"),
        (
            {"input_ids": IDS, "labels": LABELS, "attention_mask": [1]},
            "attention_mask is a list of 1, and input_ids one",
        ),
        ({"input_ids": IDS, "labels": [-100, 9, 3, 4]}, "labels[1] is 9, and must be the token's id, 2, or -100 where"),
        ({"input_ids": IDS, "labels": [0, 0, 1, 1]}, "A column of 0 and 1 is a mask: map loss_mask=labels."),
        ({"input_ids": [1, -5], "labels": [1, -100]}, "input_ids[1] is -5, and must be the id of a token, from 0 on."),
        ({"input_ids": [1, None], "labels": [1, 2]}, "input_ids[1] is null, and must be a number."),
        ({"input_ids": [1, 10**400], "labels": [1, 2]}, "input_ids[1] must be a number of at most 63 bits."),
        ({"input_ids": [1, float("nan")], "labels": [1, 2]}, "input_ids[1] must be a number of at most 63 bits."),
        ({"input_ids": [[[[[[1]]]]]], "labels": [1]}, "input_ids[0][0][0][0][0] is a list, and must be a number."),
        (
            {"model_input": {"chunks": 5}, "loss_fn_inputs": {"weights": [1]}},
            "The column 'model_input' is an object, and",
        ),
        ({"input_ids": [1, 2.5], "labels": [1, 2]}, "input_ids[1] is 2.5, and must be a whole number."),
        ({"input_ids": 7, "labels": [1]}, "The column 'input_ids' is a number, and must be a list with a number for"),
        ({"input_ids": "[1, x]", "labels": [1]}, "input_ids is a text that begins like JSON and is not JSON"),
        ({"input_ids": [], "labels": []}, "input_ids holds no token."),
        (
            {"input_ids": IDS, "weights": [0, 0, -1, 1]},
            "weights[2] is -1, and must be 0 where the token is not trained",
        ),
        ({"input_ids": [[1], [2]], "labels": [[1], [2]]}, "input_ids holds a batch of 2 lists, and a row holds one"),
        (
            {"input_ids": IDS, "labels": LABELS, "attention_mask": [1, 1, 1, 0]},
            "labels trains token 3, which is padding by attention_mask.",
        ),
        (
            {"model_input": {"chunks": [{"type": "image", "data": "x"}]}, "loss_fn_inputs": {"target_tokens": [1]}},
            "model_input.chunks[0] holds no tokens, and only text can be read",
        ),
        (
            {"model_input": [1, 2], "loss_fn_inputs": {"target_tokens": [2, 9, 3]}},
            "loss_fn_inputs.target_tokens is a list of 3, and model_input one of 2",
        ),
        (
            {"model_input": [1, 2], "loss_fn_inputs": {"target_tokens": [9, 3]}},
            "loss_fn_inputs.target_tokens[0] is 9, and must be the id of the next token, 2, or -100",
        ),
        (
            {"model_input": [1, 2], "loss_fn_inputs": [1]},
            "The column 'loss_fn_inputs' is a list, and must be an object.",
        ),
        ({"model_input": [1, 2], "loss_fn_inputs": {}}, "'loss_fn_inputs' holds neither target_tokens nor weights"),
        ({"input_ids": IDS, "labels": None}, "The column 'labels' is missing, and must say of each token whether it"),
    ],
)
def test_rows_that_cannot_be_read_say_why(row: dict[str, Any], message: str) -> None:
    """With the column and the place in it, whatever the rows before were."""
    layout = detect([PREPARED["tinker"] if "model_input" in row else {"input_ids": IDS, **dict.fromkeys(row, IDS)}])
    with pytest.raises(FormatError) as raised:
        read(row, layout)
    assert message in str(raised.value)


def test_ids_without_labels_are_refused_with_the_way_out() -> None:
    """Nothing says which of them train."""
    row = {"input_ids": IDS, "attention_mask": [1] * 4}
    with pytest.raises(
        FormatError, match=r"no column says which of them are trained.*Map it: labels=COLUMN, or loss_mask=COL"
    ):
        detect([row])
    assert read_row(row, loss_mask="attention_mask").labelled == LabelledIds(tuple(IDS), tuple(IDS))


@pytest.mark.parametrize("row", [{"tokens": ["EU", "rejects"], "labels": [3, 0]}, {"tokens": 12, "labels": [1, 2]}])
def test_other_tokens_are_not_ids(row: dict[str, Any]) -> None:
    """Words of a tagger, or a count."""
    with pytest.raises(FormatError, match="No layout fits the columns"):
        detect([row])


def test_a_batch_is_a_row_for_each_of_its_lists() -> None:
    """As a collator gives it, in a file or pasted; what is not a batch stands in each."""
    batch = {"input_ids": [IDS, [5, 6]], "labels": [LABELS, [-100, 6]], "epoch": 1}
    rows = [row for row in DataSource(text=json.dumps(batch)).rows() if isinstance(row, Row)]
    assert [row.value for row in rows] == [
        {"input_ids": IDS, "labels": LABELS, "epoch": 1},
        {"input_ids": [5, 6], "labels": [-100, 6], "epoch": 1},
    ]
    assert [row.number for row in rows] == [0, 1]
    assert rows[1].place.endswith(", item 1")
    plain = {"input_ids": IDS, "labels": LABELS}
    assert [row.value for row in DataSource(text=json.dumps(plain)).rows() if isinstance(row, Row)] == [plain]
    counts = {"tokens": [3, 4], "text": ["a", "b"]}
    rows = [row for row in DataSource(text=json.dumps(counts)).rows() if isinstance(row, Row)]
    assert [row.value for row in rows] == [{"tokens": 3, "text": "a"}, {"tokens": 4, "text": "b"}]


@pytest.mark.parametrize(
    ("ids", "labels", "message"),
    [
        ([], [], "`input_ids` must be a list of token ids, with at least one."),
        ([1], "x", "`labels` must be a list of token ids"),
        ([1, True], [1, 2], "`input_ids`[1] must be a whole number, not true or false."),
        ([1, 2], [1], "`labels` is a list of 1, and `input_ids` one of 2: each token must have a label."),
        ([1, 2], [1, 3], "`labels`[1] is 3, and must be the token's id, 2, or -100 where it is not trained."),
    ],
)
def test_a_conversation_of_ids_is_checked(ids: Any, labels: Any, message: str) -> None:
    """Its JSON form is read back, and another is refused."""
    with pytest.raises(ConversationError) as raised:
        Conversation.parse({"input_ids": ids, "labels": labels})
    assert message in str(raised.value)
    conversation = Conversation.parse({"input_ids": IDS, "labels": LABELS})
    assert Conversation.parse(conversation.to_json()) == conversation
