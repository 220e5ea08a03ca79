"""The rows of a micro-batch as one batch: padded, end to end, or after their common prefix, whichever is cheapest.

Each layout gives every trained token the same context. Two rows `a b c D`, `a b e F` whose last token trains:

    padded           a b c D / a b e F      positions 0 1 2 3 / 0 1 2 3
    padding-free     a b c D a b e F        positions 0 1 2 3 0 1 2 3
    shared prefix    a b c D e F            positions 0 1 2 3 2 3; c D and e F see a b, and not each other
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.data import Sampler

from inspector.strategies.base import IGNORED
from training.rows.pixels import FOLDER, TEXT_INPUTS, Pixels, read_pixels
from training.rows.written import cut_row

PAIR_COST = 2.5
"""Ratio of the time of an attention FLOP to that of a linear layer's FLOP, forward and backward, with a frozen base:
measured with masked SDPA on a CPU, 256 to 2,048 tokens, 9 heads of 64."""


class Layout(StrEnum):
    """The arrangement of the rows of a micro-batch in the batch."""

    PADDED = "padded"
    PADDING_FREE = "padding-free"
    SHARED_PREFIX = "shared prefix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of a layer in FLOPs.

    `token` for each token, `pair` for each pair of tokens that attention multiplies.
    """

    token: float
    pair: float

    @classmethod
    def of(cls, weights: Any) -> Cost:
        """The cost from the number of weights outside the embeddings, and from the heads."""
        config = weights.config.get_text_config()
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        outside = weights.num_parameters(exclude_embeddings=True)
        return cls(token=2.0 * outside / config.num_hidden_layers, pair=4.0 * config.num_attention_heads * width)

    def layouts(self, lengths: Sequence[int], prefix: int) -> dict[Layout, float]:
        """The cost of each layout. Masked attention multiplies all pairs, plain causal attention half of them."""
        rows, longest, total = len(lengths), max(lengths), sum(lengths)
        shared = total - (rows - 1) * prefix
        pairs = rows * longest**2 * (0.5 if total == rows * longest else 1.0)
        sizes = {
            Layout.PADDED: (rows * longest, pairs),
            Layout.PADDING_FREE: (total, total**2),
            Layout.SHARED_PREFIX: (shared, shared**2),
        }
        return {name: self.token * n + PAIR_COST * self.pair * pairs for name, (n, pairs) in sizes.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batcher:
    """A collator: rows of `input_ids` and `labels` -> the cheapest allowed layout of them.

    `padded`: trl's collator. `padding_free`: True never pads, "auto" pads if that is cheaper.
    """

    padded: Any
    cost: Cost
    cut: bool = True
    padding_free: Literal["auto"] | bool = False
    shared_prefix: bool = False

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """The batch, as tensors of shape [rows, longest], or [1, tokens] without padding."""
        rows = [{"input_ids": list(row["input_ids"]), "labels": list(row["labels"])} for row in features]
        if self.cut:
            rows = [dict(zip(row, cut_row(row["input_ids"], row["labels"]), strict=True)) for row in rows]
        layout = self.layout(rows)
        if layout is Layout.SHARED_PREFIX:
            return share(rows)
        return dict(replace(self.padded, padding_free=layout is Layout.PADDING_FREE)(rows))

    def layout(self, rows: Sequence[dict[str, Any]]) -> Layout:
        """The cheapest of the layouts that are allowed."""
        prefix = shared_length(rows) if self.shared_prefix else 0
        allowed = [Layout.PADDED] if self.padding_free is not True else []
        allowed += [Layout.PADDING_FREE] if self.padding_free else []
        allowed += [Layout.SHARED_PREFIX] if prefix and len(rows) > 1 else []
        costs = self.cost.layouts([len(row["input_ids"]) for row in rows], prefix)
        return min(allowed, key=costs.__getitem__)


@dataclass(frozen=True, slots=True)
class ImageBatcher:
    """A collator of rows with images, one row per batch: each model joins several rows in its own way.

    `folder`: the folder of the rows, with the files of their images next to it.
    """

    folder: Path

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """The row as tensors of shape [1, tokens], and the arrays of its images."""
        (row,) = features
        ids = torch.tensor([row["input_ids"]])
        batch = {"input_ids": ids, "labels": torch.tensor([row["labels"]]), "attention_mask": torch.ones_like(ids)}
        if row["pixels"] is None:
            return batch
        arrays = read_pixels(self.folder / FOLDER / row["pixels"])
        return batch | {name: torch.from_numpy(array) for name, array in arrays.items()}

    @staticmethod
    def pixels_in(batch: dict[str, Any]) -> Pixels:
        """The arrays of the images of a batch, for its proof."""
        tensors = {name: value for name, value in batch.items() if torch.is_tensor(value)}
        return {name: value.numpy() for name, value in tensors.items() if name not in TEXT_INPUTS}


def shared_length(rows: Sequence[dict[str, Any]]) -> int:
    """The number of tokens that the rows can share.

    Their common prefix without its last token, and nothing that trains.

    The last common token stays in every row, since it predicts the row's own next token.
    """
    common = 0
    for column in zip(*(row["input_ids"] for row in rows), strict=False):
        if len(set(column)) > 1:
            break
        common += 1
    untrained = min(next((i for i, x in enumerate(row["labels"]) if x != IGNORED), common) for row in rows)
    return max(0, min(common, untrained) - 1)


def share(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """[prefix | rest of row 1 | rest of row 2 ...]: ids, labels and positions, each of shape [1, tokens].

    The mask follows from the positions: `shared_mask`. Every rest begins with an untrained token, so that no row's
    last token predicts anything of the next.
    """
    prefix = shared_length(rows)
    ids, labels, positions = rows[0]["input_ids"][:prefix], [IGNORED] * prefix, list(range(prefix))
    for row in rows:
        ids = ids + row["input_ids"][prefix:]
        labels = labels + row["labels"][prefix:]
        positions = positions + list(range(prefix, len(row["input_ids"])))
    values = {"input_ids": ids, "labels": labels, "position_ids": positions}
    return {name: torch.tensor([value]) for name, value in values.items()}


def shared_mask(position_ids: torch.Tensor) -> torch.Tensor | None:
    """The mask of a shared-prefix batch, bool, [1, 1, tokens, tokens]; None if no prefix is shared.

    `position_ids`: [1, tokens]. They jump back to the prefix's length where the next row's rest begins.
    """
    positions = position_ids[0]
    jumps = (positions.diff() != 1).nonzero().flatten() + 1
    if not len(jumps) or not (prefix := int(positions[jumps[0]])):
        return None
    row = torch.zeros_like(positions)
    row[jumps] = 1
    row, index = row.cumsum(0), torch.arange(len(positions), device=positions.device)
    seen = (index[:, None] >= index) & ((row[:, None] == row) | (index < prefix))
    return seen[None, None]


class PrefixSampler(Sampler[int]):
    """Puts rows with the same beginning into one step: rows are sorted by their ids, steps are shuffled each epoch.

    `size`: number of rows in a step, so that smaller micro-batches of the same step hold the same rows.
    """

    def __init__(self, rows: Sequence[Sequence[int]], size: int, seed: int) -> None:
        self.rows, self.size, self.seed, self.epoch = rows, size, seed, 0

    def __len__(self) -> int:
        return len(self.rows)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order comes next, so that a resumed run continues correctly."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """The numbers of rows; those of an incomplete step come last."""
        order = sorted(range(len(self.rows)), key=lambda i: list(self.rows[i]))
        whole = len(order) // self.size
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        for step in torch.randperm(whole, generator=generator).tolist():
            yield from order[step * self.size : (step + 1) * self.size]
        yield from order[whole * self.size :]
