"""How long a training step takes beside plain trl, with the same loss: `python benchmarks/training.py [STEPS]`.

SmolLM2-135M's shape with random weights and LoRA on every linear layer, fp32 on a CPU, bf16 on a CUDA device. Three
sets of rows: (a) a sparse mask, 11.6 % of the tokens trained in one span, some text behind it; (b) one long system
prompt that all rows begin with; (c) pairs of answers to prompts of their own, for DPO. Plain trl is its SFTTrainer or
DPOTrainer over the same rows, seed and settings; below it each change on top of the ones above. The contestants take
turns, step by step, after one step that does not count; medians of STEPS are shown, beside the last step's loss and
gradient norm. They must agree at every step: the exit status is 1 if they do not. The last line is one JSON object:
plain trl's time divided by that of each.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from datasets import Dataset, disable_progress_bars
from transformers import LlamaConfig, LlamaForCausalLM, logging
from trl import DPOConfig, DPOTrainer, SFTTrainer

import inspector
from inspector.conversation import Conversation
from training.rows.prepare import IGNORED, PreparedRow
from training.rows.written import write_rows
from training.run.folder import RunDir
from training.spec import RunSpec, parse_spec
from training.trainer.methods import build_trainer
from training.trainer.methods.arguments import common_arguments
from training.trainer.methods.sft import training_arguments
from training.weights.load import lora_config

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
PAIRS = {"head at trained positions": {"shared_prompt": False}, "shared prompts": {}}
NOTHING = Conversation.parse([{"role": "user", "content": "?"}])


@dataclass(slots=True)
class Contestant:
    """A trainer, the columns it takes, and what its steps took and gave: seconds, losses, gradient norms, bytes."""

    trainer: Any
    model: Any
    columns: Callable[[PreparedRow], dict[str, Any]]
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    peak: int = 0

    def step(self, rows: Sequence[PreparedRow]) -> None:
        """One optimiser step over a micro-batch, from plain rows to new weights."""
        trainer, device = self.trainer, self.trainer.args.device
        if ON_CUDA:
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        began = time.perf_counter()
        batch = trainer.data_collator([self.columns(row) for row in rows])
        batches, count = trainer.get_batch_samples(iter([batch]), 1, device)
        loss = trainer.training_step(self.model, batches[0], count)
        norm = torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), 1.0)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        self.losses.append(float(loss))
        self.norms.append(float(norm))
        self.seconds.append(time.perf_counter() - began)
        self.peak = torch.cuda.max_memory_allocated() if ON_CUDA else 0


def sparse_row(rng: random.Random) -> PreparedRow:
    """200 to 480 tokens; the span that trains ends at 60 to 95 % of them."""
    length = rng.randint(200, 480)
    end = int(length * rng.uniform(0.6, 0.95))
    return _row(_ids(rng, length), end - round(length * 0.116), end)


def prompt_row(rng: random.Random) -> PreparedRow:
    """320 tokens that are always the same, 15 to 40 of a question, 20 to 50 that train, and an end of turn."""
    prompt = _ids(random.Random(1), 320)
    question, answer = rng.randint(15, 40), rng.randint(20, 50)
    return _row(prompt + _ids(rng, question + answer + 1), 320 + question, 320 + question + answer)


def pair_row(rng: random.Random) -> PreparedRow:
    """200 to 300 tokens of a prompt, and two answers of 30 to 80."""
    prompt = _ids(rng, rng.randint(200, 300))
    chosen, rejected = (prompt + _ids(rng, rng.randint(30, 80)) for _ in range(2))
    row = _row(chosen, len(prompt), len(chosen))
    return replace(row, rejected=_row(rejected, len(prompt), len(rejected)))


def _ids(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(VOCABULARY) for _ in range(count)]


def _row(ids: list[int], begin: int, end: int) -> PreparedRow:
    labels = [token if begin <= i < end else IGNORED for i, token in enumerate(ids)]
    return PreparedRow(number=0, input_ids=ids, labels=labels, texts=[], conversation=NOTHING)


def spec_of(method: str, speed: dict[str, Any], rows: int) -> RunSpec:
    """The settings of a run, all of them at their defaults."""
    return parse_spec(
        {"model": "tiny-chat", "data": "x", "micro_batch": rows, "max_steps": 1000, "speed": speed, "method": method}
    )


def weights() -> Any:
    """The model with random weights, always the same."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(SHAPE)
    return model.to("cuda", torch.bfloat16) if ON_CUDA else model


class PlainDPO(DPOTrainer):  # type: ignore[misc]
    """trl's trainer, which takes no tokenized rows otherwise."""

    def _prepare_dataset(self, dataset: Any, *args: Any) -> Any:
        return dataset


def plain(method: str, folder: Path, rows: Sequence[PreparedRow], batch: int) -> Contestant:
    """trl's own trainer."""
    spec, model = spec_of(method, {}, batch), weights()
    columns = plain_pair if method == "dpo" else written
    if method == "dpo":
        common = common_arguments(spec, folder, evaluates=False)
        kind, arguments = PlainDPO, DPOConfig(**{**common, "beta": spec.preference.beta})
    else:
        kind, arguments = SFTTrainer, training_arguments(spec, folder, evaluates=False)
    trainer = kind(
        model=model, args=arguments, peft_config=lora_config(spec, model),
        train_dataset=Dataset.from_list([columns(row) for row in rows]),
        processing_class=inspector.load("tiny-chat").tokenizer,
    )  # fmt: skip
    return Contestant(trainer, trainer.model, columns)


def plain_pair(row: PreparedRow) -> dict[str, Any]:
    """The columns that trl makes of a pair."""
    assert row.rejected is not None
    begin = next(i for i, label in enumerate(row.labels) if label != IGNORED)
    answers = {"chosen_ids": row.input_ids[begin:], "rejected_ids": row.rejected.input_ids[begin:]}
    return {"prompt_ids": row.input_ids[:begin], **answers}


def written(row: PreparedRow) -> dict[str, Any]:
    """The columns that a run has."""
    out: dict[str, Any] = {"input_ids": row.input_ids, "labels": row.labels}
    if row.rejected is not None:
        out |= {f"rejected_{name}": value for name, value in written(row.rejected).items()}
    return out


def ours(method: str, folder: Path, rows: Sequence[PreparedRow], batch: int, speed: dict[str, Any]) -> Contestant:
    """The trainer of a run over the same rows."""
    spec = spec_of(method, speed, batch)
    run = RunDir.create(folder, spec)
    write_rows(run.data, iter(rows))
    trainer, _ = build_trainer(spec, run, weights(), inspector.load("tiny-chat").tokenizer, [])
    return Contestant(trainer, trainer.model, written)


def race(
    method: str, rows: Sequence[PreparedRow], batch: int, changes: dict[str, dict[str, Any]]
) -> dict[str, Contestant]:
    """Let everybody do the same steps, in turns. The frozen weights are one copy."""
    out: dict[str, Contestant] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in (PLAIN, *changes):
            place = Path(folder) / name
            own = (
                plain(method, place, rows, batch) if name == PLAIN else ours(method, place, rows, batch, changes[name])
            )
            own.trainer.create_optimizer()
            own.trainer.current_gradient_accumulation_steps = 1
            if out:
                first = dict(out[PLAIN].trainer.model.named_parameters())
                for key, parameter in own.trainer.model.named_parameters():
                    if not parameter.requires_grad:
                        parameter.data = first[key].data
            own.model = own.trainer.accelerator.prepare_model(own.trainer.model)
            out[name] = own
        for start in range(0, len(rows), batch):
            for contestant in out.values():
                contestant.step(rows[start : start + batch])
    return out


TASKS = (
    ("sparse mask", "sft", sparse_row, SPARSE, 1.0, 1.8),
    ("long system prompt", "sft", prompt_row, PROMPT, 1.5, 3.0),
    ("pairs", "dpo", pair_row, PAIRS, 0.5, 1.3),
)
"""(title, method, what makes a row, the changes, rows a step relative to --rows, the goal)."""


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
        help="in a micro-batch of the sparse mask; half as many more with the prompt, half as many pairs",
    )
    titles = [title for title, *_ in TASKS]
    parser.add_argument("--only", choices=titles, action="append", help="this task; again for another")
    options = parser.parse_args()
    disable_progress_bars()
    logging.set_verbosity_error()
    print(torch.cuda.get_device_name() if ON_CUDA else f"{os.cpu_count()} cores, {torch.get_num_threads()} threads")
    results: dict[str, float] = {}
    all_agree = True
    for title, method, make, changes, share, goal in TASKS:
        if options.only and title not in options.only:
            continue
        batch, rng = round(options.rows * share), random.Random(0)
        rows = [make(rng) for _ in range((options.steps + 1) * batch)]
        tokens, trained = sum(row.tokens for row in rows), sum(row.trained for row in rows)
        print(f"{title}: {batch} rows a step, {tokens / len(rows):.0f} tokens a row, {trained / tokens:.1%} train")
        found, agree = show(title, goal, tokens / (options.steps + 1), race(method, rows, batch, changes))
        results |= found
        all_agree &= agree
    print(json.dumps(results))
    return 0 if all_agree else 1


if __name__ == "__main__":
    sys.exit(main())
