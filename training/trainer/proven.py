"""What every trainer here adds to trl's: it takes batches of a ProvingCollator, and counts what was proven."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from training.errors import LabelsDifferError
from training.trainer.proof import PROVEN
from training.weights import ranks


class Proven:
    """Beside one of trl's trainers. Raises LabelsDifferError when that counts other trained tokens than were proven.

    `eval_collator`: of the held-out rows, where it is another: transformers weights an evaluated batch by its number
    of rows, so that they have to be padded.
    """

    args: Any
    accelerator: Any
    data_collator: Any
    eval_collator: Any = None

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The micro-batches of a step, and how many of their tokens are trained: as many as were proven."""
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
        """As transformers does. A checkpoint, which it saves so too, also gets what every process has proven."""
        super().save_model(output_dir, _internal_call)  # type: ignore[misc]
        if _internal_call:
            self.data_collator.gather()
            if ranks.is_first():
                self.data_collator.save(Path(output_dir or self.args.output_dir))

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """As transformers makes it, with `eval_collator`."""
        collator = self.data_collator
        self.data_collator = self.eval_collator or collator
        try:
            return super().get_eval_dataloader(eval_dataset)  # type: ignore[misc]
        finally:
            self.data_collator = collator
