"""The proof that the trained rows are the shown rows: every row that the collator yields is looked up by its hash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inspector.strategies.base import IGNORED
from training.errors import LabelsDifferError
from training.rows.written import row_hash
from training.weights import ranks

FILE = "proof.npy"
"""The proof's file in a checkpoint: a run that resumes there may not see earlier rows again."""
PROVEN = "proven"
"""The key for the number of a batch's tokens that are proven to train: the trainer has to count the same number."""


class ProvingCollator:
    """A collator around another.

    Each row of each batch must be one that the inspector showed, with the same ids and labels.

    `shown`: the hashes from the inspection (of cut rows if rows are trained cut after their last trained token), each
    with the inspected row's (tokens, trained tokens). Raises LabelsDifferError at the first row that is not among them.
    """

    def __init__(self, collator: Any, shown: Iterable[int] | Mapping[int, tuple[int, int]]) -> None:
        self.collator = collator
        self.shown = shown if isinstance(shown, Mapping) else dict.fromkeys(shown)
        self.seen: dict[int, tuple[int, int]] = {}
        self._cut: set[int] = set()

    def beside(self, collator: Any) -> ProvingCollator:
        """Another collator, whose rows count in this proof."""
        other = ProvingCollator(collator, self.shown)
        other.seen, other._cut = self.seen, self._cut
        return other

    def __call__(self, features: list[dict[str, Any]], *args: Any, **kwargs: Any) -> Any:
        """The collator's batch, once it is proven, with the number of its trained tokens under PROVEN."""
        batch = self.collator(features, *args, **kwargs)
        batch[PROVEN] = 0
        pixels = self.collator.pixels_in(batch) if hasattr(self.collator, "pixels_in") else {}
        for ids, labels in rows_of(batch):
            trained = sum(label != IGNORED for label in labels)
            key = row_hash(ids, labels, pixels)
            if key not in self.shown:
                raise LabelsDifferError(
                    f"A row of {len(ids)} tokens that trains {trained} of them does not match any row shown by the "
                    "inspector. Training stopped. Please report it, with the spec."
                )
            batch[PROVEN] += trained - (labels[0] != IGNORED)  # nothing predicts the first token of a row
            tokens, _ = self.seen.setdefault(key, self.shown[key] or (len(ids), trained))
            if len(ids) < tokens:
                self._cut.add(key)
        return batch

    def found(self) -> tuple[dict[int, tuple[int, int]], set[int]]:
        """The rows seen so far, by hash, and the cut ones: for `add` in another process."""
        return self.seen, self._cut

    def add(self, found: tuple[dict[int, tuple[int, int]], set[int]]) -> None:
        """Also count the rows that another process has proven."""
        self.seen.update(found[0])
        self._cut |= found[1]

    def gather(self) -> None:
        """Count the rows that every process has proven. All processes have to call this."""
        for found in ranks.gather(self.found()):
            self.add(found)

    def save(self, checkpoint: Path) -> None:
        """Save the rows proven until this checkpoint: int64 of shape (rows, 4), with each row's hash, tokens, trained
        tokens and whether it was cut."""
        rows = [(key, *counts, key in self._cut) for key, counts in self.seen.items()]
        np.save(checkpoint / FILE, np.array(rows, dtype=np.int64).reshape(-1, 4))

    def load(self, checkpoint: Path) -> None:
        """Count the rows proven until this checkpoint, as `save` wrote them; an older checkpoint has none."""
        if not (checkpoint / FILE).exists():
            return
        for key, tokens, trained, is_cut in np.load(checkpoint / FILE).tolist():
            self.seen[key] = (tokens, trained)
            if is_cut:
                self._cut.add(key)

    @property
    def tokens(self) -> int:
        """The number of tokens in the rows seen so far, as they were inspected."""
        return sum(tokens for tokens, _ in self.seen.values())

    @property
    def trained(self) -> int:
        """The number of trained tokens among them."""
        return sum(trained for _, trained in self.seen.values())

    def sentence(self, *, of_rewards: bool = False) -> str:
        """The proof so far, in a sentence. `of_rewards`: a row's reward is read at its trained token."""
        if not self.seen:
            return "No row has been seen, so nothing is known of what trained."
        if of_rewards:
            return (
                f"{len(self.seen):,} different rows of {self.tokens:,} tokens, identical to the inspector's, id by id; "
                "each one's reward is read at its last token."
            )
        cut = ", each row cut after its last trained token" if self._cut else ""
        return (
            f"{self.trained:,} trained tokens of {self.tokens:,} in {len(self.seen):,} different rows, identical to "
            f"the inspector's, id by id and label by label{cut}."
        )


def rows_of(batch: Any) -> list[tuple[list[int], list[int]]]:
    """The rows in a batch: without padding if it has a mask, otherwise split where positions jump back.

    Labels are those of the batch, or its tokens where its completion mask is 1, as in trl's preference trainers.

    Positions that jump back to 0 begin a row. If they jump back to P, the first P tokens begin every row.
    """
    ids = batch["input_ids"].tolist()
    if "labels" in batch:
        labels = batch["labels"].tolist()
    else:
        labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, IGNORED).tolist()
    if "attention_mask" in batch:
        masks = batch["attention_mask"].tolist()
        return [_real(row_ids, own_labels, mask) for row_ids, own_labels, mask in zip(ids, labels, masks, strict=True)]
    out = []
    for row_ids, own_labels, positions in zip(ids, labels, batch["position_ids"].tolist(), strict=True):
        starts = [i for i in range(1, len(row_ids)) if positions[i] != positions[i - 1] + 1]
        prefix = positions[starts[0]] if starts else 0
        for start, end in zip([prefix, *starts], [*starts, len(row_ids)], strict=True):
            out.append((row_ids[:prefix] + row_ids[start:end], own_labels[:prefix] + own_labels[start:end]))
    return out


def _real(ids: Sequence[int], labels: Sequence[int], mask: Sequence[int]) -> tuple[list[int], list[int]]:
    kept = [i for i, bit in enumerate(mask) if bit]
    return [ids[i] for i in kept], [labels[i] for i in kept]
