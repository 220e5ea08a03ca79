"""Batches without torch: padding and packing undone, and each kind of batch read."""

from __future__ import annotations

from typing import Any

import pytest

from inspector.live.batches import Batch, first_batches, left_as_found
from inspector.live.rows import LiveRow, Oddity, rows_of

PAD, EOS = 0, 1


def read(values: dict[str, Any], *rows: Any) -> list[LiveRow]:
    """The sequences of a batch."""
    return rows_of(Batch(values, rows), 0, PAD, EOS)


def pairs(rows: list[LiveRow]) -> list[tuple[list[int], list[int] | None]]:
    """Ids and bits."""
    return [(list(row.ids), None if row.trained is None else list(map(int, row.trained))) for row in rows]


def test_padding_on_either_side_is_left_out() -> None:
    """By the mask; without one by the padding token at the ends."""
    ids, labels, mask = (
        [[0, 0, 5, 6], [5, 6, 7, 0]],
        [[-100, -100, -100, 6], [-100, 6, 7, -100]],
        [[0, 0, 1, 1], [1, 1, 1, 0]],
    )
    expected = [([5, 6], [0, 1]), ([5, 6, 7], [0, 1, 1])]
    assert pairs(read({"input_ids": ids, "labels": labels, "attention_mask": mask})) == expected
    assert pairs(read({"input_ids": ids, "labels": labels})) == expected


def test_padding_that_the_mask_counts_in() -> None:
    """A mask of ones, as some collators make it: what pads the end is left out all the same."""
    values = {"input_ids": [[0, 5, 6, 0, 0]], "labels": [[-100, -100, 6, -100, -100]]}
    assert pairs(read({**values, "attention_mask": [[1, 1, 1, 1, 1]]})) == [([0, 5, 6], [0, 0, 1])]


def test_a_stop_token_that_is_the_padding_is_kept_once() -> None:
    """Without a mask the first token after the text may be the row's own end."""
    ids, labels = [[5, 6, 1, 1, 1]], [[-100, 6, -100, -100, -100]]
    rows = rows_of(Batch({"input_ids": ids, "labels": labels}), 0, EOS, EOS)
    assert pairs(rows) == [([5, 6, 1], [0, 1, 0])]
    labels = [[-100, 6, 1, -100, -100]]
    assert pairs(rows_of(Batch({"input_ids": ids, "labels": labels}), 0, EOS, EOS)) == [([5, 6, 1], [0, 1, 1])]


@pytest.mark.parametrize(
    "more",
    [
        {"position_ids": [[0, 1, 2, 0, 1, 0, 0]]},
        {"cu_seq_lens_q": [0, 3, 5, 7]},
    ],
)
def test_packed_rows_are_taken_apart(more: dict[str, Any]) -> None:
    """By positions that begin anew or by lengths; what pads the row to a round length is no sequence."""
    rows = read({"input_ids": [[5, 6, 7, 8, 9, 0, 0]], "labels": [[-100, 6, 7, -100, 9, -100, -100]], **more})
    assert pairs(rows) == [([5, 6, 7], [0, 1, 1]), ([8, 9], [0, 1])]
    assert [row.part for row in rows] == [0, 1]
    assert not any(row.oddities for row in rows)


def test_sequences_that_attend_to_each_other() -> None:
    """Lengths that only the data set names are lost in the batch, unless it has a mask of blocks."""
    values = {"input_ids": [[5, 6, 7, 8]], "labels": [[-100, 6, -100, 8]], "attention_mask": [[1, 1, 1, 1]]}
    rows = read(values, {"input_ids": [5, 6, 7, 8], "seq_lengths": [2, 2]})
    assert [row.oddities for row in rows] == [(Oddity.LEAK,), ()]
    blocks = [[[[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]]]
    rows = read({**values, "attention_mask": blocks}, {"input_ids": [5, 6, 7, 8], "seq_lengths": [2, 2]})
    assert [row.oddities for row in rows] == [(), ()]
    flat = {"input_ids": [[5, 6, 7]], "labels": [[-100, 6, 7]]}
    assert read(flat, {"input_ids": [5, 6]}, {"input_ids": [7]})[0].oddities == (Oddity.LEAK,)


def test_positions_that_a_mask_makes_the_model_ignore() -> None:
    """transformers reads sequences off positions only without a mask; a mask that numbers them keeps them apart."""
    values = {"input_ids": [[5, 6, 7, 8]], "labels": [[-100, 6, -100, 8]], "position_ids": [[0, 1, 0, 1]]}
    assert [row.oddities for row in read({**values, "attention_mask": [[1, 1, 1, 1]]})] == [(Oddity.MASKED,), ()]
    assert [row.oddities for row in read({**values, "attention_mask": [[1, 1, 2, 2]]})] == [(), ()]
    numbered = {**values, "attention_mask": [[1, 1, 2, 0]]}
    del numbered["position_ids"]
    assert pairs(read(numbered)) == [([5, 6], [0, 1]), ([7], [0])]


def test_text_that_the_mask_hides() -> None:
    """A mask made by comparing with a padding token that is the stop token hides stops, the last one, too."""
    values = {"input_ids": [[5, 1, 6, 1, 1]], "labels": [[5, -100, 6, -100, -100]], "attention_mask": [[1, 0, 1, 0, 0]]}
    (row,) = rows_of(Batch(values), 0, EOS, EOS)
    assert (row.ids, row.oddities) == ((5, 1, 6, 1), (Oddity.HIDDEN,))


def test_former_pairs_are_joined() -> None:
    """DPO before TRL 1 pads prompts and answers apart; ORPO has whole rows with labels."""
    rows = read({
        "prompt_input_ids": [[0, 5], [5, 6]], "prompt_attention_mask": [[0, 1], [1, 1]],
        "chosen_input_ids": [[7, 8], [7, 0]], "chosen_attention_mask": [[1, 1], [1, 0]],
        "rejected_input_ids": [[9], [9]], "rejected_attention_mask": [[1], [1]],
    })  # fmt: skip
    assert pairs(rows) == [
        ([5, 7, 8], [0, 1, 1]), ([5, 6, 7], [0, 0, 1]), ([5, 9], [0, 1]), ([5, 6, 9], [0, 0, 1]),
    ]  # fmt: skip
    assert [row.side for row in rows] == ["chosen", "chosen", "rejected", "rejected"]
    rows = read({
        "prompt_input_ids": [[5]],
        "chosen_input_ids": [[5, 7]], "chosen_labels": [[-100, 7]], "chosen_attention_mask": [[1, 1]],
        "rejected_input_ids": [[5, 9]], "rejected_labels": [[-100, 9]], "rejected_attention_mask": [[1, 1]],
    })  # fmt: skip
    assert pairs(rows) == [([5, 7], [0, 1]), ([5, 9], [0, 1])]


def test_arrays_are_read_like_lists() -> None:
    """NumPy's, for one."""
    numpy = pytest.importorskip("numpy")
    values = {"input_ids": numpy.array([[5, 6]]), "labels": numpy.array([[-100, 6]])}
    assert pairs(read(values)) == [([5, 6], [0, 1])]


def test_a_shuffling_sampler_is_left_as_it_was() -> None:
    """A sampler that shuffles its own list, and counts; one inside the other."""
    import random

    class Sampler:
        def __init__(self) -> None:
            self.order, self.epoch, self.random = [0, 1, 2, 3], 0, random.Random(3)

        def __iter__(self) -> Any:
            self.epoch += 1
            self.random.shuffle(self.order)
            return iter(self.order)

    class Pairs:
        def __init__(self, sampler: Sampler) -> None:
            self.sampler = sampler

        def __iter__(self) -> Any:
            return zip(*[iter(self.sampler)] * 2, strict=True)

    class Loader:
        generator = None

        def __init__(self) -> None:
            self.dataset = [{"n": n} for n in range(4)]
            self.sampler = Sampler()
            self.batch_sampler = Pairs(self.sampler)

        @staticmethod
        def collate_fn(rows: list[Any]) -> dict[str, Any]:
            return {"n": [row["n"] for row in rows]}

    loader = Loader()
    before = list(loader.sampler.order), loader.sampler.epoch, loader.sampler.random.getstate()
    seen = [batch.values["n"] for batch in first_batches(loader, 5)]
    assert sorted(n for batch in seen for n in batch) == [0, 1, 2, 3]
    assert (loader.sampler.order, loader.sampler.epoch, loader.sampler.random.getstate()) == before
    assert [batch.values["n"] for batch in first_batches(loader, 5)] == seen
    with left_as_found(loader):
        next(iter(loader.sampler))
    assert loader.sampler.epoch == 0


def test_rows_without_labels_are_no_pairs() -> None:
    """Only a model that scores rows compares the first half of them with the second."""
    values = {"input_ids": [[5, 6], [7, 8]]}
    assert [row.side for row in read(values)] == ["", ""]
    scored = rows_of(Batch(values), 0, PAD, EOS, is_scored=True)
    assert [(row.side, row.row) for row in scored] == [("chosen", 0), ("rejected", 0)]
