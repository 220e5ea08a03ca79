"""How long a training step takes beside plain trl, with the same loss: `python benchmarks/training.py [STEPS]`.

SmolLM2-135M's shape with random weights and LoRA on every linear layer, fp32 on a CPU, bf16 on a CUDA device. Two sets
of rows: (a) a sparse mask, 11.6 % of the tokens trained in one span, some text behind it; (b) one long system prompt
that all rows begin with. Plain trl is its SFTTrainer over the same rows, seed and settings; below it each change on top
of the ones above. The contestants take turns, step by step, after one step that does not count; medians of STEPS are
shown, beside the last step's loss and gradient norm. They must agree at every step: the exit status is 1 if they do
not. The last line is one JSON object: plain trl's time divided by that of each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from datasets import Dataset, disable_progress_bars
from transformers import LlamaConfig, LlamaForCausalLM, logging
from trl import SFTTrainer

import inspector
from inspector.conversation import Conversation
from training.methods.sft import build_trainer, training_arguments
from training.rows import PreparedRow
from training.rows_file import write_rows
from training.rundir import RunDir
from training.spec import RunSpec, parse_spec
from training.weights import lora_config

Row = tuple[list[int], list[int]]
VOCABULARY = 49_152
SHAPE = LlamaConfig(
    hidden_size=576, intermediate_size=1_536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
    vocab_size=VOCABULARY, tie_word_embeddings=True,
)  # fmt: skip
ON_CUDA = torch.cuda.is_available()
TOLERANCE = 3e-2 if ON_CUDA else 1e-3
"""Relative difference of loss and gradient norm after several steps, in bf16 and in fp32."""
PLAIN = "plain trl"
OFF = {"cut": False, "head": False, "padding_free": False}
SPARSE = {
    "head at trained positions": {**OFF, "head": True},
    "rows cut": {**OFF, "head": True, "cut": True},
    "no padding where it pays": {},
}
PROMPT = {"the defaults": {}, "shared prefix": {"shared_prefix": True}}
TASKS = (("sparse mask", SPARSE, 1.8), ("long system prompt", PROMPT, 3.0))


@dataclass(slots=True)
class Contestant:
    """A trainer, and what its steps took and gave: seconds, losses, gradient norms, bytes."""

    trainer: Any
    model: Any
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    peak: int = 0

    def step(self, rows: Sequence[Row]) -> None:
        """One optimiser step over a micro-batch, from plain rows to new weights."""
        trainer, device = self.trainer, self.trainer.args.device
        if ON_CUDA:
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        began = time.perf_counter()
        batch = trainer.data_collator([{"input_ids": ids, "labels": labels} for ids, labels in rows])
        batches, count = trainer.get_batch_samples(iter([batch]), 1, device)
        loss = trainer.training_step(self.model, batches[0], count)
        norm = torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), 1.0)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        self.losses.append(float(loss))
        self.norms.append(float(norm))
        self.seconds.append(time.perf_counter() - began)
        self.peak = torch.cuda.max_memory_allocated() if ON_CUDA else 0


def sparse_rows(rng: random.Random) -> Row:
    """200 to 480 tokens; the span that trains ends at 60 to 95 % of them."""
    length = rng.randint(200, 480)
    end = int(length * rng.uniform(0.6, 0.95))
    return _row(rng, length, end - round(length * 0.116), end)


def prompt_rows(rng: random.Random) -> Row:
    """320 tokens that are always the same, 15 to 40 of a question, 20 to 50 that train, and an end of turn."""
    prompt = random.Random(1)
    question, answer = rng.randint(15, 40), rng.randint(20, 50)
    ids, labels = _row(rng, question + answer + 1, question, question + answer)
    return [prompt.randrange(VOCABULARY) for _ in range(320)] + ids, [-100] * 320 + labels


def _row(rng: random.Random, length: int, begin: int, end: int) -> Row:
    ids = [rng.randrange(VOCABULARY) for _ in range(length)]
    return ids, [token if begin <= i < end else -100 for i, token in enumerate(ids)]


def spec_of(speed: dict[str, Any], rows: int) -> RunSpec:
    """The settings of a run, all of them at their defaults."""
    return parse_spec({"model": "tiny-chat", "data": "x", "micro_batch": rows, "max_steps": 1000, "speed": speed})


def weights() -> Any:
    """The model with random weights, always the same."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(SHAPE)
    return model.to("cuda", torch.bfloat16) if ON_CUDA else model


def plain(folder: Path, rows: Sequence[Row], batch: int) -> Any:
    """trl's own trainer."""
    spec, model = spec_of({}, batch), weights()
    assert spec.lora is not None
    return SFTTrainer(
        model=model, args=training_arguments(spec, folder, evaluates=False), peft_config=lora_config(spec, model),
        train_dataset=Dataset.from_list([{"input_ids": ids, "labels": labels} for ids, labels in rows]),
        processing_class=inspector.load("tiny-chat").tokenizer,
    )  # fmt: skip


def ours(folder: Path, rows: Sequence[Row], batch: int, speed: dict[str, Any]) -> Any:
    """The trainer of a run over the same rows."""
    spec = spec_of(speed, batch)
    run = RunDir.create(folder, spec)
    nothing = Conversation.parse([{"role": "user", "content": "?"}])
    prepared = (
        PreparedRow(number=i, input_ids=ids, labels=labels, texts=[], conversation=nothing)
        for i, (ids, labels) in enumerate(rows)
    )
    write_rows(run.data, prepared)
    return build_trainer(spec, run, weights(), inspector.load("tiny-chat").tokenizer, [])[0]


def race(rows: Sequence[Row], batch: int, changes: dict[str, dict[str, Any]]) -> dict[str, Contestant]:
    """Let everybody do the same steps, in turns. The frozen weights are one copy."""
    out: dict[str, Contestant] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in (PLAIN, *changes):
            place = Path(folder) / name
            trainer = plain(place, rows, batch) if name == PLAIN else ours(place, rows, batch, changes[name])
            trainer.create_optimizer()
            trainer.current_gradient_accumulation_steps = 1
            if out:
                first = dict(out[PLAIN].trainer.model.named_parameters())
                for key, parameter in trainer.model.named_parameters():
                    if not parameter.requires_grad:
                        parameter.data = first[key].data
            out[name] = Contestant(trainer, trainer.accelerator.prepare_model(trainer.model))
        for start in range(0, len(rows), batch):
            for contestant in out.values():
                contestant.step(rows[start : start + batch])
    return out


def show(title: str, goal: float, tokens: float, found: dict[str, Contestant]) -> tuple[dict[str, float], bool]:
    """Print the table; returns plain trl's time over each one's, and whether all agree."""
    base = found[PLAIN]
    best, agree = statistics.median(base.seconds[1:]), True
    ratios: dict[str, float] = {}
    for name, own in found.items():
        seconds = statistics.median(own.seconds[1:])
        ratios[name] = round(best / seconds, 2)
        pairs = (*zip(own.losses, base.losses, strict=True), *zip(own.norms, base.norms, strict=True))
        worst = max(abs(one / other - 1) for one, other in pairs)
        agree &= worst < TOLERANCE
        memory = f"  {own.peak / 2**30:6.2f} GiB" if ON_CUDA else ""
        print(
            f"  {name:28}{seconds:8.3f} s/step {ratios[name]:6.2f}x {tokens / seconds:10,.0f} tokens/s{memory}"
            f"  loss {own.losses[-1]:.6f}  gradient norm {own.norms[-1]:.6f}  worst difference {worst:.0e}"
        )
    last = ratios[name]
    print(f"  {title}: {last:.2f}x, and the goal is {goal}x" + ("" if agree else "; THEY DO NOT AGREE"), flush=True)
    return {f"{title} / {name}": ratio for name, ratio in ratios.items() if name != PLAIN}, agree


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="?", type=int, default=4)
    parser.add_argument(
        "--rows",
        type=int,
        default=8 if ON_CUDA else 4,
        help="in a micro-batch of the sparse mask; half as many more with the prompt",
    )
    options = parser.parse_args()
    disable_progress_bars()
    logging.set_verbosity_error()
    print(torch.cuda.get_device_name() if ON_CUDA else f"{os.cpu_count()} cores, {torch.get_num_threads()} threads")
    results: dict[str, float] = {}
    all_agree = True
    for (title, changes, goal), make in zip(TASKS, (sparse_rows, prompt_rows), strict=True):
        batch = options.rows if changes is SPARSE else options.rows * 3 // 2
        rng = random.Random(0)
        rows = [make(rng) for _ in range((options.steps + 1) * batch)]
        tokens, trained = sum(len(ids) for ids, _ in rows), sum(label != -100 for _, own in rows for label in own)
        print(f"{title}: {batch} rows a step, {tokens / len(rows):.0f} tokens a row, {trained / tokens:.1%} train")
        found, agree = show(title, goal, tokens / (options.steps + 1), race(rows, batch, changes))
        results |= found
        all_agree &= agree
    print(json.dumps(results))
    return 0 if all_agree else 1


if __name__ == "__main__":
    sys.exit(main())
