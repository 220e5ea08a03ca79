"""The batch shown is the batch that trl's and transformers' collators make of the same rows."""

from __future__ import annotations

import random
from typing import Any

import pytest

import inspector
from inspector.batch import Batch, best_fit, make_batch
from inspector.errors import BatchError
from inspector.inspection import Inspection

WORDS = ["Paris.", "The Danube runs through Vienna.", "Four.", "Red, green and blue, and many more of them."]


@pytest.fixture(scope="module")
def rows() -> list[Inspection]:
    """Eight rows of different lengths."""
    model = inspector.load("tiny-chat")
    return [
        inspector.inspect(
            model,
            [
                {"role": "user", "content": f"Question {'very ' * i}short?"},
                {"role": "assistant", "content": WORDS[i % 4]},
            ],
        )
        for i in range(8)
    ]


def examples(rows: list[Inspection]) -> list[dict[str, list[int]]]:
    """As a data set for a trainer."""
    return [dict(zip(("input_ids", "labels"), row.row, strict=True)) for row in rows]


def columns(batch: Batch, name: str) -> list[list[int]]:
    """One property of every row."""
    return [list(getattr(row, name)) for row in batch.rows]


def test_padded_batch_is_that_of_trl(rows: list[Inspection]) -> None:
    """Ids, labels and attention."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    pad_id = rows[0].model.tokenizer.pad_token_id
    expected = DataCollatorForLanguageModeling(pad_token_id=pad_id)(examples(rows))
    batch = make_batch(rows)
    assert columns(batch, "ids") == expected["input_ids"].tolist()
    assert columns(batch, "labels") == expected["labels"].tolist()
    assert columns(batch, "attention") == expected["attention_mask"].tolist()
    assert (batch.pad_id, batch.padding) == (pad_id, int((expected["attention_mask"] == 0).sum()))
    assert batch.trained == sum(sum(row.trained) for row in rows)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batch_is_that_of_transformers(rows: list[Inspection], side: str) -> None:
    """On either side; the model counts positions from the start of the row, padding included."""
    from transformers import DataCollatorForSeq2Seq

    tokenizer = rows[0].model.with_special_tokens({"pad_token": "[PAD]"}).tokenizer
    tokenizer.padding_side = side
    expected = DataCollatorForSeq2Seq(tokenizer)(
        [example | {"attention_mask": [1] * len(example["input_ids"])} for example in examples(rows)]
    )
    batch = make_batch(rows, padding_side=side, pad_id=tokenizer.pad_token_id)
    assert columns(batch, "ids") == expected["input_ids"].tolist()
    assert columns(batch, "labels") == expected["labels"].tolist()
    assert columns(batch, "attention") == expected["attention_mask"].tolist()
    assert columns(batch, "position_ids") == [list(range(len(batch.rows[0].ids)))] * len(rows)
    for row in batch.rows:
        (boundary,) = row.boundaries
        assert row.sources[boundary] is not None
        assert boundary == (row.attention.count(0) if side == "left" else 0)


def test_padding_free_batch_is_that_of_trl(rows: list[Inspection]) -> None:
    """One row; positions begin anew; the first label of each is ignored."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    expected = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(examples(rows))
    batch = make_batch(rows, padding_free=True)
    assert columns(batch, "ids") == expected["input_ids"].tolist()
    assert columns(batch, "labels") == expected["labels"].tolist()
    assert columns(batch, "position_ids") == expected["position_ids"].tolist()
    assert [*batch.rows[0].boundaries, len(batch.rows[0].ids)] == expected["cu_seq_lens_q"].tolist()
    assert (batch.padding, batch.pad_id) == (0, None)


@pytest.mark.parametrize("max_length", [24, 40, 64])
def test_packed_rows_are_those_of_trl(rows: list[Inspection], max_length: int) -> None:
    """The same rows together in the same order, cut to the length."""
    from datasets import Dataset
    from trl import pack_dataset

    packed = pack_dataset(Dataset.from_list(examples(rows)), seq_length=max_length, strategy="bfd")
    batch = make_batch(rows, max_length=max_length, packing=True)
    shown = [[id for id, real in zip(row.ids, row.attention, strict=True) if real] for row in batch.rows]
    assert shown == packed["input_ids"]
    starts = [[0, *lengths[:-1]] for lengths in packed["seq_lengths"]]
    assert columns(batch, "boundaries") == [[sum(own[: i + 1]) for i in range(len(own))] for own in starts]
    assert list(batch.cut) == [max(0, len(row.ids) - max_length) for row in rows]


def test_best_fit_is_trls() -> None:
    """Over random lengths, all different: trl's order of equal ones is nobody's promise."""
    from datasets import Dataset
    from trl import pack_dataset

    for seed in range(20):
        rng = random.Random(seed)
        sizes = rng.sample(range(1, 65), 30)
        data = Dataset.from_list([{"input_ids": [index] * size} for index, size in enumerate(sizes)])
        packed = pack_dataset(data, seq_length=64, strategy="bfd")["input_ids"]
        assert [list(dict.fromkeys(row)) for row in packed] == best_fit(sizes, 64)
    assert best_fit([0, 3, 0], 4) == [[1]]


def test_truncation_side_decides_what_is_cut(rows: list[Inspection]) -> None:
    """And the first token that is left does not train."""
    row = rows[3]
    start = make_batch([row], max_length=5)
    end = make_batch([row], max_length=5, truncation="keep_end")
    assert start.rows[0].ids == tuple(row.ids[:5])
    assert end.rows[0].ids == tuple(row.ids[-5:])
    assert end.rows[0].labels == (-100, *row.labels[-4:])
    assert start.cut == end.cut == (len(row.ids) - 5,)


def test_truncated_inspection_stays_truncated(rows: list[Inspection]) -> None:
    """Its own max_length comes first."""
    short = inspector.inspect(rows[3].model, rows[3].example.conversation, modifiers={"max_length": 7})
    batch = make_batch([short, rows[0]])
    assert batch.cut == (len(short.ids) - 7, 0)
    assert sum(batch.rows[0].attention) == 7
    assert batch.rows[0].tokens[:7] == tuple(short.example.tokens.texts[:7])


def test_padding_falls_back_on_eos(rows: list[Inspection]) -> None:
    """As trl does where the tokenizer has no padding token."""
    model = inspector.load("bytes-bos")
    short, long = (inspector.inspect(model, [{"role": "assistant", "content": text}]) for text in ("a", "abc"))
    batch = make_batch([short, long])
    assert batch.pad_id == model.tokenizer.eos_token_id
    assert batch.rows[0].tokens[-1] == "<|im_end|>"
    assert batch.rows[0].labels[-2:] == (-100, -100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding_side": "top"}, "padding_side is 'top', which is not one of: right, left"),
        ({"packing": True}, "Packing needs max_length"),
        ({"max_length": 0}, "max_length is 0, and must be a number of tokens from 1 on"),
        ({"max_length": 4, "truncation": "middle"}, "mode is 'middle', which is not one of: keep_start, keep_end"),
    ],
)
def test_settings_that_mean_nothing_are_refused(rows: list[Inspection], options: dict[str, Any], message: str) -> None:
    """With what they may be."""
    with pytest.raises(BatchError, match=message):
        make_batch(rows, **options)


def test_batch_needs_rows_and_a_padding_token() -> None:
    """Nothing to put together; nothing to fill up with."""
    with pytest.raises(BatchError, match="at least one row"):
        make_batch([])
    from tests import oracle
    from tests.support import models

    source = "{% for m in messages %}{{ m.content }}{% endfor %}"
    model = models.model_of(oracle.byte_tokenizer([]), source)
    rows = [inspector.inspect(model, [{"role": "assistant", "content": text}]) for text in ("a", "abc")]
    with pytest.raises(BatchError, match="neither a padding token nor eos"):
        make_batch(rows)
