"""Merges an adapter into its base model.

A whole model in a folder, which is loaded again and must give the same answers.

These are the greedy answers to the run's first questions, or the rewards of its first rows. If a shorter type rounds,
another token may win, but only one that base model and adapter found as probable as the best.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from inspector.conversation import TEXT_ROLE
from inspector.errors import InspectorError, one_line
from inspector.model.model import Model
from inspector.strategies.base import IGNORED
from training.errors import MergeError, RunStateError, TrainingError
from training.publish.card import card
from training.rows.prepare import load_model
from training.run.folder import RunDir
from training.spec import RunSpec, SamplingSpec
from training.weights import memory
from training.weights.answers import ASKED, Question, questions, write_ids
from training.weights.load import config_of, device_of, load_weights, model_class, precision_of
from training.weights.scores import score

DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
TIE_NATS = {"bf16": 0.25, "fp16": 0.05, "fp32": 1e-3}
"""Maximum difference from the best token's log probability for a token that wins after rounding: some units in the last
place of a logit of 20."""
STOP_ROWS = 10_000
"""Number of rows in which stop tokens are searched for."""


def merge(run: RunDir, out: Path | None = None, dtype: str = "") -> Path:
    """Merge, save, load again and compare; returns the new folder, by default `merged/` of the run.

    `dtype`: bf16, fp16 or fp32; by default the one it was trained in. Raises RunStateError if there is nothing to
    merge, and MergeError.
    """
    spec = _mergeable(run)
    target = (out or run.merged).absolute()
    if out is not None and target.exists():
        raise MergeError(f"{target} exists already: remove it, or name another folder.")
    temporary = target.with_name(f".{target.name}-{os.getpid()}")
    with _explained(spec, target):
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _Merge.of(run, spec, dtype).write(temporary)
            _replace(target, temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            memory.release()
    return target


def _mergeable(run: RunDir) -> RunSpec:
    spec = run.spec()
    if spec.lora is None:
        raise RunStateError(f"The run {run.run_id} trained all weights: {run.adapter} is the whole model already.")
    if not (run.adapter / "adapter_config.json").is_file():
        raise RunStateError(f"The run {run.run_id} has no adapter yet: let it train first.")
    return spec


@contextmanager
def _explained(spec: RunSpec, target: Path) -> Iterator[None]:
    """Turn errors of the libraries in the block into a MergeError."""
    from safetensors import SafetensorError

    try:
        yield
    except InspectorError as error:
        raise MergeError(f"The base model {spec.model} cannot be loaded: {error}") from error
    except (OSError, SafetensorError) as error:
        if isinstance(error, TrainingError):
            raise
        reason = one_line(str(error), 300)
        if "no space left" in reason.lower():
            raise MergeError(f"The disk of {target.parent} is full: free disk space, then merge again.") from error
        raise MergeError(f"{spec.model} cannot be merged into {target}: {reason}") from error


def _replace(target: Path, made: Path) -> None:
    """Replace a folder by another; the old one is removed only after that."""
    old = made.with_name(f"{made.name}-old")
    if target.exists():
        target.rename(old)
    made.rename(target)
    shutil.rmtree(old, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class _Merge:
    """One merge: the run, its tokenizer and template, the number type, the ids that end an answer."""

    run: RunDir
    spec: RunSpec
    model: Model
    dtype: str
    stops: list[int]

    @classmethod
    def of(cls, run: RunDir, spec: RunSpec, dtype: str) -> _Merge:
        """A merge with this number type, by default the one that the run was trained in."""
        model = load_model(spec)
        dtype = dtype or run.facts().precision or (spec.precision if spec.precision != "auto" else "")
        device = "auto" if spec.device == "cuda" else spec.device  # a machine without one can merge too
        spec = spec.model_copy(update={"quantization": "none", "device": device, "precision": "auto"})
        dtype = dtype or precision_of(spec, device_of(spec))
        return cls(run=run, spec=spec, model=model, dtype=dtype, stops=stop_ids(run, model.tokenizer))

    def write(self, folder: Path) -> None:
        """Write the whole model, and compare. Raises MergeError."""
        tuned = self._tuned()
        expected = self._said(tuned, self.model)
        try:
            whole = tuned.merge_and_unload(safe_merge=True)
        except ValueError as error:
            raise MergeError(f"The merged weights of {self.run.run_id} are not numbers any more: {error}") from error
        _check_space(whole, folder)
        whole.save_pretrained(str(folder))
        self.model.tokenizer.save_pretrained(str(folder))
        if self.model.processor is not None:
            self.model.processor.save(folder)
        (folder / "chat_template.jinja").write_text(self.model.template, encoding="utf-8")
        (folder / "README.md").write_text(card(self.run, self.dtype, is_whole=True), encoding="utf-8")
        del tuned, whole
        memory.release()
        self._compare(expected, self._said(*self._loaded(folder)))

    def _tuned(self) -> Any:
        """Base model and adapter, in the type of the merged model, with the ids that end an answer."""
        import torch
        from peft import PeftModel

        loaded_as = self.spec.model_copy(update={"precision": "bf16" if self.dtype == "bf16" else "fp32"})
        base = load_weights(loaded_as, self.model).to(getattr(torch, DTYPES[self.dtype]))
        tokenizer = self.model.tokenizer
        if self.spec.facts.is_reward:
            base.config.pad_token_id = tokenizer.pad_token_id
        else:
            _end_at(base.generation_config, self.stops, tokenizer.pad_token_id)
        return PeftModel.from_pretrained(base, str(self.run.adapter))

    def _loaded(self, folder: Path) -> tuple[Any, Model]:
        """The written model, loaded as a user would."""
        import torch
        from transformers import AutoTokenizer

        kind = model_class(self.spec, config_of(self.spec, str(folder)))
        loaded = kind.from_pretrained(str(folder), dtype=getattr(torch, DTYPES[self.dtype]))
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        return loaded.to(device_of(self.spec)), replace(self.model, tokenizer=tokenizer)

    def _said(self, weights: Any, model: Model) -> list[Any]:
        """The ids of the answers, or the rewards."""
        weights.eval()
        if self.spec.facts.is_reward:
            return [_reward(weights, ids) for ids in self._judged()]
        return write_ids(weights, model, self._asked(), self.spec.sampling.max_new_tokens)

    def _asked(self) -> list[Question]:
        """The run's questions, rendered again; for a text, its beginning."""
        asked = list({line["question"]: line["messages"] for line in self.run.samples()}.values())
        if asked and asked[0][0]["role"] == TEXT_ROLE:
            return [
                Question(messages=tuple(messages), prompt=messages[0]["content"], reference=None) for messages in asked
            ]
        return questions(SamplingSpec(prompts=asked), [], self.model)

    def _judged(self) -> list[list[int]]:
        rows = islice(_rows(self.run, ("input_ids", "rejected_input_ids")), ASKED)
        return [ids for row in rows for ids in row if ids]

    def _compare(self, expected: Sequence[Any], found: Sequence[Any]) -> None:
        differing = [n for n, (one, other) in enumerate(zip(expected, found, strict=True)) if one != other]
        if not differing:
            return
        if self.spec.facts.is_reward:
            for n in differing:
                if abs(expected[n] - found[n]) > TIE_NATS[self.dtype] * max(1.0, abs(expected[n])):
                    self._refuse(f"row {n // 2}", f"{expected[n]:+.4f}", f"{found[n]:+.4f}")
            return
        tuned = self._tuned()
        for n in differing:
            asked = self._asked()[n]
            if _falls_behind(tuned, self.model.tokenizer, asked.prompt, found[n]) > TIE_NATS[self.dtype]:
                texts = [repr(self.model.tokenizer.decode(ids)) for ids in (expected[n], found[n])]
                self._refuse(repr(asked.text), *texts)

    def _refuse(self, what: str, expected: str, found: str) -> None:
        remedy = "Try fp32." if self.dtype != "fp32" else "Please report it, with the spec."
        raise MergeError(
            f"Merged in {self.dtype}, the model says {found} to {what}, and base model and adapter say {expected}: "
            f"nothing was kept. {remedy}"
        )


def stop_ids(run: RunDir, tokenizer: Any) -> list[int]:
    """The ids that end an answer: the tokenizer's eos, and every special token that trains as the last of a row."""
    special = set(tokenizer.all_special_ids)
    special |= {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    found = {} if tokenizer.eos_token_id is None else {tokenizer.eos_token_id: None}
    for ids, labels in islice(_rows(run, ("input_ids", "labels")), STOP_ROWS):
        last = next((id for id, label in zip(reversed(ids), reversed(labels), strict=True) if label != IGNORED), None)
        if last in special:
            found[last] = None
    return list(found)


def _rows(run: RunDir, columns: Sequence[str]) -> Iterator[list[Any]]:
    from pyarrow import parquet

    with parquet.ParquetFile(run.data / "rows.parquet") as file:
        for batch in file.iter_batches(256, columns=list(columns)):
            yield from ([row[name] for name in columns] for row in batch.to_pylist())


def _end_at(config: Any, stops: list[int], pad: int | None) -> None:
    """Make generation also end at these ids."""
    known = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    every = list(dict.fromkeys([*stops, *(id for id in known if id is not None)]))
    config.eos_token_id = every[0] if len(every) == 1 else every or None
    config.pad_token_id = config.pad_token_id if pad is None else pad
    try:
        config.validate(strict=True)
    except ValueError:  # a configuration with settings of sampling that does not sample is not saved
        config.do_sample = True


def _check_space(weights: Any, folder: Path) -> None:
    needed = sum(one.numel() * one.element_size() for one in weights.state_dict().values())
    free = shutil.disk_usage(folder.parent).free
    if free < 1.02 * needed:
        raise MergeError(
            f"The merged model takes {needed / 1e9:.3f} GB, and {folder.parent} has {free / 1e9:.3f} GB free: free "
            "disk space, or name a folder elsewhere with --out."
        )


def _reward(weights: Any, ids: Sequence[int]) -> float:
    import torch

    with torch.no_grad():
        return float(weights(input_ids=torch.tensor([ids], device=weights.device)).logits[0, 0])


def _falls_behind(weights: Any, tokenizer: Any, prompt: str, answer: Sequence[int]) -> float:
    """The largest difference, in nats, between the best token's log probability and that of the answer's token."""
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    after = score(weights, [*before, *answer])[len(before) :]
    gaps = [(one.loss or 0.0) + math.log(max(one.probability or 0.0, 1e-30)) for one in after]
    return max(gaps, default=0.0)
