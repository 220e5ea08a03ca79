"""Estimates the cost of a run before it starts: parameters, memory by part, FLOPs, steps, and time by a measured rate.

The model is built from its configuration on torch's meta device: no weights are read, whatever its size. Memory of
activations follows Korthikanti et al. 2022 (Reducing Activation Recomputation in Large Transformer Models), without the
attention matrix, which SDPA does not keep; FLOPs are 6 per token and parameter outside the embeddings, as
transformers' `floating_point_ops` counts them, or 4 if the base model is frozen (no weight gradients there).
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

from inspector.data.source import BadRow
from inspector.errors import InspectorError
from training.errors import Problem, SpecError, TrainingError
from training.planner import USABLE, plan
from training.rows.prepare import load_model, prepare
from training.spec import RunSpec
from training.weights.load import config_of, device_of, lora_config, model_class, precision_of, total_steps

_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
_QUANTIZED = {"8bit": 1.0, "4bit": 0.55}
"""Bytes per weight; 4-bit includes its double-quantised scales."""
_OPTIMIZER_BYTES = {"adamw_torch": 8, "adamw_torch_fused": 8, "adafactor": 0.1, "sgd": 0, "adamw_bnb_8bit": 2}
PROCESS_BYTES = 500_000_000
"""Bytes of a worker before it has a model: Python, torch, transformers, TRL. Not part of a GPU's memory."""
START_S = 10.0
"""Seconds until a worker has imported them and begins; less if one is waiting."""
EFFICIENCY = 0.5
"""Share of the matrix rate that a training step reaches: attention, normalisation and Python cost the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Sizes in bytes, times in seconds. `device_memory` and `seconds` are None if unknown.

    `parts`: weights, gradients, optimizer, activations, logits, reference; on the CPU also the process itself.
    `seconds`: of the steps; `start_seconds`: until the first of them. `fits`: whether the sum is within nine
    tenths of the device's memory. `suggestion`: fields of the spec that make it fit, or make better use of CUDA.
    """

    device: str
    precision: str
    parameters: int
    trainable: int
    parts: dict[str, int]
    device_memory: int | None
    fits: bool | None
    suggestion: dict[str, Any] | None
    tokens_per_step: int
    flops_per_step: float
    steps: int
    flops: float
    flops_per_second: float | None
    seconds: float | None
    start_seconds: float = START_S

    @property
    def memory(self) -> int:
        """All parts together."""
        return sum(self.parts.values())

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self) | {"memory": self.memory}

    def lines(self) -> list[str]:
        """The estimate as text."""
        parts = ", ".join(f"{name} {_size(size)}" for name, size in self.parts.items())
        has = "" if self.device_memory is None else f" of {_size(self.device_memory)}"
        time_ = "unknown" if self.seconds is None else _duration(self.seconds + self.start_seconds)
        start = f"about {self.start_seconds:.0f} s of it until the process has started"
        out = [
            f"{self.parameters:,} parameters, {self.trainable:,} of them are trained "
            f"({self.trainable / self.parameters:.2%}); {self.precision} on {self.device}",
            f"memory {_size(self.memory)}{has}: {parts}",
            f"{self.steps:,} steps of {self.tokens_per_step:,} tokens, {self.flops_per_step / 1e9:,.1f} GFLOPs each, "
            f"{self.flops / 1e12:,.2f} TFLOPs in all; time {time_}, {start}",
        ]
        if self.suggestion:
            changes = ", ".join(f"{name}: {value}" for name, value in self.suggestion.items())
            what = "That does not fit. This does" if self.fits is False else "The same steps in less time"
            out.append(f"{what}: {changes}")
        return out


def estimate(spec: RunSpec, rows: int, mean_length: float, *, measure: bool = True) -> Estimate:
    """Estimate a run over `rows` rows of this mean length (in tokens, after truncation; both answers of a pair).

    `measure`: whether to time matrix products on the device for the rate. Raises DeviceError, and OSError if the
    configuration cannot be read.
    """
    device = device_of(spec)
    precision = precision_of(spec, device)
    weights, config = _shape(spec)
    total = sum(parameter.numel() for parameter in weights.parameters())
    trained = _trainable(spec, weights)
    outside = weights.num_parameters(exclude_embeddings=True)
    length = min(float(spec.max_length * spec.facts.answers_per_row), mean_length)
    tokens = round(spec.micro_batch * spec.accumulation * length)
    per_token = 6.0 * outside if spec.lora is None else 4.0 * outside + 6.0 * trained
    per_token += 2.0 * outside * _passes_without_gradients(spec)
    rate = measured_rate(device, precision) if measure else None
    steps = total_steps(spec, rows)
    parts = _memory(spec, config, total, trained, precision, device)
    has = device_memory(device)
    fits = None if has is None else sum(parts.values()) <= USABLE * has
    suggestion = None
    if has is not None and (device == "cuda" or fits is False):

        def cost(changed: RunSpec) -> int:
            return sum(_memory(changed, config, total, trained, precision_of(changed, device), device).values())

        suggestion = plan(spec, cost, has, on_cuda=device == "cuda", has_bf16=_has_bf16(device)) or None
    return Estimate(
        device=device,
        precision=precision,
        parameters=total,
        trainable=trained,
        parts=parts,
        device_memory=has,
        fits=fits,
        suggestion=suggestion,
        tokens_per_step=tokens,
        flops_per_step=per_token * tokens,
        steps=steps,
        flops=per_token * tokens * steps,
        flops_per_second=rate,
        seconds=None if rate is None else per_token * tokens * steps / (EFFICIENCY * rate),
    )


def _shape(spec: RunSpec) -> tuple[Any, Any]:
    """The model without weights, and its configuration."""
    import torch

    config = config_of(spec)
    with torch.device("meta"):
        return model_class(spec, config).from_config(config, trust_remote_code=False), config.get_text_config()


def _trainable(spec: RunSpec, weights: Any) -> int:
    import torch
    from peft import get_peft_model

    if spec.lora is None:
        return sum(parameter.numel() for parameter in weights.parameters())
    with torch.device("meta"):
        adapted = get_peft_model(weights, lora_config(spec, weights))
    return sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)


def _passes_without_gradients(spec: RunSpec) -> int:
    """Forward passes over a batch besides the one that trains: for the reference, and for KTO's KL."""
    if spec.estimates_kl:
        return 3
    return int(spec.facts.has_reference and not spec.preference.precompute)


def _memory(spec: RunSpec, config: Any, total: int, trained: int, precision: str, device: str) -> dict[str, int]:
    """Bytes by part. Full fine-tuning keeps its weights in fp32, whatever the precision of the step."""
    width = _BYTES[precision]
    kept = 4 if spec.lora is None else width
    weight = _QUANTIZED.get(spec.quantization, kept)
    tokens = spec.micro_batch * spec.max_length * spec.facts.answers_per_row
    hidden, layers = config.hidden_size, config.num_hidden_layers
    per_layer = tokens * hidden * 17 * width
    kept_layers = tokens * hidden * width * layers + per_layer if spec.activation_checkpointing else per_layer * layers
    has_reference = bool(spec.preference.reference) or (spec.lora is None and _passes_without_gradients(spec) > 0)
    return {
        "weights": round(total * weight + trained * (0 if spec.lora is None else 4)),
        "gradients": trained * 4,
        "optimizer": round(trained * _OPTIMIZER_BYTES.get(spec.optimizer, 8)),
        "activations": round(kept_layers),
        "logits": 0 if spec.facts.is_reward else tokens * config.vocab_size * 4 * 2,
        **({"reference": round(total * kept)} if has_reference else {}),
        **({"process": PROCESS_BYTES} if device == "cpu" else {}),
    }


def _has_bf16(device: str) -> bool:
    import torch

    return device == "cuda" and torch.cuda.is_bf16_supported()


def device_memory(device: str) -> int | None:
    """The device's memory in bytes: all of the GPU's, or the free memory of this machine."""
    import psutil
    import torch

    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory)
    return int(psutil.virtual_memory().available)


def measured_rate(device: str, precision: str, seconds: float = 0.2) -> float:
    """FLOPs per second of matrix products of 1,024 by 1,024, the best of a few, measured now."""
    import torch

    size = 1024
    kind = torch.float32 if precision == "fp32" else torch.bfloat16 if precision == "bf16" else torch.float16
    left = torch.randn(size, size, device=device).to(kind)
    best, until = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < until or best is math.inf:
        began = time.perf_counter()
        left @ left
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return "under a minute"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def plan_of(spec: RunSpec) -> tuple[dict[str, Any], list[str]]:
    """The estimate of a spec over its rows, which are prepared for it. Raises TrainingError."""
    unused: list[BadRow] = []
    notes: list[str] = []
    rows = tokens = trained = cut = 0
    try:
        for row in prepare(spec, spec.data, load_model(spec), unused, notes):
            rows, tokens, trained = rows + 1, tokens + row.tokens, trained + row.trained
            cut += any(one.cut for one in row.answers)
        if not rows:
            raise SpecError(
                [
                    Problem(
                        field="data", severity="error", message="no row of it has a trained token.", remedy="Audit it."
                    )
                ]
            )
        found = estimate(spec, rows, tokens / rows)
    except (InspectorError, OSError, ValueError) as error:
        if isinstance(error, TrainingError):
            raise
        raise SpecError([Problem(field="model or data", severity="error", message=str(error), remedy="")]) from error
    counts = {"rows": rows, "unused": len(unused), "cut_rows": cut, "total_tokens": tokens, "trained_tokens": trained}
    plan = found.to_dict() | counts | {"notes": notes}
    head = f"{rows:,} rows, in which {trained:,} of {tokens:,} tokens are trained; {len(unused):,} rows are not used"
    head += f"; {cut:,} are cut to {spec.max_length:,} tokens" if cut else ""
    return plan, [head, *notes, *found.lines()]
