"""A run's weights before and after the training, for chatting: only one copy if the difference is an adapter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from inspector.model.model import Model
from training.launch import answers
from training.rows.prepare import load_model
from training.run.folder import RunDir
from training.spec import RunSpec
from training.weights.load import load_weights, model_class


@dataclass(frozen=True, kw_only=True)
class TrainedWeights:
    """`base` and `tuned` are the same object if the run has an adapter, which is switched off for the base."""

    model: Model
    base: Any
    tuned: Any

    @classmethod
    def of(cls, run: RunDir) -> TrainedWeights:
        """Load both, on a GPU if there is one. Raises RunStateError, InspectorError, OSError."""
        spec = run.spec()
        answers.check(run)
        model = load_model(spec)
        base = load_weights(_here(spec), model).eval()
        if spec.lora is None:
            kind = model_class(spec, base.config)
            tuned = kind.from_pretrained(str(run.adapter), dtype=base.dtype, trust_remote_code=False)
            return cls(model=model, base=base, tuned=tuned.to(base.device).eval())
        from peft import PeftModel

        tuned = PeftModel.from_pretrained(base, str(run.adapter)).eval()
        return cls(model=model, base=tuned, tuned=tuned)

    @contextmanager
    def side(self, *, is_trained: bool) -> Iterator[Any]:
        """The weights after the training, or those before it."""
        is_off = self.base is self.tuned and not is_trained
        with self.tuned.disable_adapter() if is_off else nullcontext():
            yield self.tuned if is_trained else self.base


def _here(spec: RunSpec) -> RunSpec:
    """The spec adapted to this machine's device: a machine without a GPU can chat too."""
    import torch

    if torch.cuda.is_available():
        return spec
    return spec.model_copy(update={"device": "cpu", "quantization": "none", "precision": "auto"})
