"""The common addition to trl's trainers: batches come from a ProvingCollator, and proven tokens are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from training.errors import LabelsDifferError
from training.trainer.proof import PROVEN
from training.weights import ranks


class Proven:
    """A mixin for trl's trainers. Raises LabelsDifferError if the trainer counts other trained tokens than were proven.

    `eval_collator`: the collator of the held-out rows, if it is another one: transformers weights an evaluated batch by
    its number of rows, so these rows have to be padded.
    """

    args: Any
    accelerator: Any
    data_collator: Any
    eval_collator: Any = None

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The micro-batches of a step, and the number of their trained tokens, which must be the proven number."""
        batches, count = super().get_batch_samples(epoch_iterator, num_batches, device)  # type: ignore[misc]
        proven = torch.tensor(sum(batch.pop(PROVEN) for batch in batches), device=device)
        if count is not None and self.args.world_size > 1:
            proven = self.accelerator.gather(proven).sum()
        if count is not None and int(count) != int(proven):
            raise LabelsDifferError(
                f"The trainer counts {int(count)} trained tokens in this step, and {int(proven)} were proven to be the "
                "inspector's: training stops here. Please report it, with the spec."
            )
        return batches, count

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save as transformers does.

        A checkpoint, which is saved in the same way, also gets the proof of every process.
        """
        super().save_model(output_dir, _internal_call)  # type: ignore[misc]
        if _internal_call:
            self.data_collator.gather()
            if ranks.is_first():
                self.data_collator.save(Path(output_dir or self.args.output_dir))

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """The loader that transformers makes, with `eval_collator`."""
        collator = self.data_collator
        self.data_collator = self.eval_collator or collator
        try:
            return super().get_eval_dataloader(eval_dataset)  # type: ignore[misc]
        finally:
            self.data_collator = collator
