"""The proof that what trains is what was shown: every row that the collator yields is looked up by its hash."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from training.errors import LabelsDifferError
from training.rows import row_hash


class ProvingCollator:
    """A collator around trl's. Each row of each batch must be one that the inspector showed, ids and labels alike.

    `shown`: the hashes taken at the inspection. Raises LabelsDifferError at the first row that is none of them.
    """

    def __init__(self, collator: Any, shown: Iterable[int]) -> None:
        self.collator = collator
        self.shown = frozenset(shown)
        self.seen: set[int] = set()
        self.tokens = 0
        self.trained = 0

    def __call__(self, features: list[dict[str, Any]], *args: Any, **kwargs: Any) -> Any:
        """The batch of trl's collator, once it is proven."""
        batch = self.collator(features, *args, **kwargs)
        for ids, labels in rows_of(batch):
            key = row_hash(ids, labels)
            if key not in self.shown:
                raise LabelsDifferError(
                    f"A row of {len(ids)} tokens that trains {sum(label != -100 for label in labels)} of them is not "
                    "one that the inspector showed: training stops here. Please report it, with the spec."
                )
            if key not in self.seen:
                self.seen.add(key)
                self.tokens += len(ids)
                self.trained += sum(label != -100 for label in labels)
        return batch

    def sentence(self) -> str:
        """What has been proven so far."""
        return (
            f"{self.trained:,} trained tokens of {self.tokens:,} in {len(self.seen):,} different rows, identical to "
            "the inspector's, id by id and label by label."
        )


def rows_of(batch: Any) -> list[tuple[list[int], list[int]]]:
    """The rows in a batch, without padding: cut at the mask, or where positions begin anew."""
    ids, labels = batch["input_ids"].tolist(), batch["labels"].tolist()
    if "attention_mask" in batch:
        masks = batch["attention_mask"].tolist()
        return [_real(own, own_labels, mask) for own, own_labels, mask in zip(ids, labels, masks, strict=True)]
    out = []
    for own, own_labels, positions in zip(ids, labels, batch["position_ids"].tolist(), strict=True):
        starts = [i for i, position in enumerate(positions) if position == 0]
        for start, end in zip(starts, [*starts[1:], len(own)], strict=True):
            out.append((own[start:end], own_labels[start:end]))
    return out


def _real(ids: Sequence[int], labels: Sequence[int], mask: Sequence[int]) -> tuple[list[int], list[int]]:
    kept = [i for i, bit in enumerate(mask) if bit]
    return [ids[i] for i in kept], [labels[i] for i in kept]
