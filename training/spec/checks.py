"""Checks a spec across its fields, and puts pydantic's errors into words."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any

from inspector.errors import quoted
from training.errors import Problem
from training.spec.methods import FACTS, Answers
from training.spec.run import RunSpec


def check(spec: RunSpec) -> Iterator[Problem]:
    """The problems across fields, and warnings."""
    from inspector.errors import StrategyError
    from inspector.strategies import STRATEGIES, Modifiers

    if spec.strategy not in STRATEGIES:
        yield problem("strategy", f"there is no {spec.strategy!r}.", f"There are: {', '.join(STRATEGIES)}.")
    try:
        Modifiers.parse(spec.modifiers)
    except StrategyError as error:
        yield problem(str(error).split(" ", 1)[0], f"{error}", "")
    yield from _check_values(spec)
    if spec.scheduler not in SCHEDULERS:
        yield problem("scheduler", f"there is no {spec.scheduler!r}.", f"There are: {', '.join(SCHEDULERS)}.")
    if spec.optimizer not in OPTIMIZERS:
        yield problem("optimizer", f"there is no {spec.optimizer!r}.", f"There are: {', '.join(OPTIMIZERS)}.")
    if spec.quantization != "none" and spec.lora is None:
        yield problem("quantization", f"{spec.quantization} weights cannot be trained themselves.", "Use lora.")
    if spec.quantization != "none" and spec.device == "cpu":
        remedy = "Set quantization: none; it saves memory here, and no time."
        yield problem("quantization", f"{spec.quantization} weights train slowly on the CPU.", remedy, "warning")
    if spec.precision == "fp16" and spec.device == "cpu":
        yield problem("precision", "fp16 training needs a CUDA device.", "Use bf16, fp32 or auto on a CPU.")
    if spec.evaluation.patience is not None and not _evaluates(spec):
        yield problem("evaluation.patience", "there is nothing to evaluate on.", "Set evaluation.data or .share.")
    if spec.evaluation.data is not None and spec.evaluation.share:
        yield problem("evaluation.share", "evaluation.data is set, too.", "Keep one of them.")
    if spec.lora is not None and "lm_head" in _names(spec.lora.modules):
        yield problem("lora.modules", "lm_head cannot be a LoRA target here.", "Name it in lora.modules_to_save.")
    if spec.packing and spec.group_by_length:
        yield problem("group_by_length", "packed rows are all of one length.", "Leave it out.", "warning")
    yield from _check_speed(spec)
    yield from _check_method(spec)
    yield from _check_engine(spec)
    usual = spec.facts.rates[spec.lora is None]
    if spec.rate > 5 * usual:
        what = "all weights" if spec.lora is None else "LoRA"
        yield problem(
            "learning_rate", f"{spec.rate:g} is high for {spec.method} of {what}.", f"{usual:g} is usual.", "warning"
        )


def _check_values(spec: RunSpec) -> Iterator[Problem]:
    """Check that free values fit JSON, since the spec is stored and read again."""
    given = {"options": spec.options, "special_tokens": spec.special_tokens, "sampling.prompts": spec.sampling.prompts}
    for field, value in given.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            yield problem(field, f"holds a value that JSON cannot: {error}.", "Use a string or a finite number.")


def _check_speed(spec: RunSpec) -> Iterator[Problem]:
    speed, prefix = spec.speed, "speed.shared_prefix"
    if spec.packing and speed.padding_free is False:
        yield problem("speed.padding_free", "packed rows have no padding.", "Leave it out, or set packing: false.")
    if not speed.shared_prefix:
        return
    if spec.packing:
        yield problem(prefix, "packed rows do not share a prefix.", "Set packing: false, or leave it out.")
    if spec.group_by_length:
        yield problem(prefix, "rows are grouped by their beginning or by length, not by both.", "Keep one of them.")
    if spec.micro_batch == 1:
        yield problem(prefix, "one row has nothing to share.", "Raise micro_batch.", "warning")
    if spec.lora is not None and spec.lora.dropout:
        yield problem(prefix, "dropout is drawn once for the shared part.", "Set lora.dropout: 0.", "warning")


def _check_method(spec: RunSpec) -> Iterator[Problem]:
    """Settings of one method that are used with another."""
    method, facts, given = spec.method, spec.facts, spec.preference
    for name in given.loss:
        if name not in facts.losses:
            have = " and ".join(other.value for other, its in FACTS.items() if its.losses)
            remedy = f"There are: {', '.join(facts.losses)}." if facts.losses else f"{have} have several losses."
            yield problem("preference.loss", f"{method} has no loss {name!r}.", remedy)
    if not facts.compares and given != type(given)():
        yield problem("preference", f"{method} compares no answers.", "Set method: dpo, orpo or kto, or leave it out.")
    if not facts.is_in_blocks and spec.blocks != type(spec.blocks)():
        yield problem("blocks", f"{method} trains row by row.", "Set method: lm, or leave it out.")
    if facts.is_in_blocks and spec.strategy not in ("traced", "full"):
        yield problem("strategy", "language modelling trains every token.", "Leave it out, or set method: sft.")
    if facts.is_in_blocks and spec.packing:
        yield problem("packing", "blocks are full already.", "Leave it out.")
    if facts.is_reward and spec.sampling.endpoint is not None:
        yield problem("sampling.endpoint", "a reward model writes no answers.", "Leave it out.")
    if facts.is_reward and spec.quantization != "none":
        yield problem("quantization", "a reward model is not quantized here.", "Leave it out.")
    if facts.compares:
        yield from _check_preference(spec)


def _check_preference(spec: RunSpec) -> Iterator[Problem]:
    method, facts, given = spec.method, spec.facts, spec.preference
    if spec.packing:
        yield problem("packing", f"{method} compares whole answers, which cannot be packed.", "Leave it out.")
    if spec.group_by_length:
        yield problem("group_by_length", f"{method} has no single length to a row.", "Leave it out.")
    if spec.speed.shared_prefix:
        remedy = "The prompt of a pair is shared anyway." if facts.answers is Answers.PAIRS else "Leave it out."
        yield problem("speed.shared_prefix", f"is not for {method}.", remedy)
    for name in ("max_prompt_length", "max_completion_length"):
        length = getattr(given, name)
        if length is not None and length > spec.max_length:
            yield problem(f"preference.{name}", f"{length} is more than max_length, {spec.max_length}.", "Lower it.")
    if given.loss_weights and len(given.loss_weights) != len(spec.losses):
        yield problem("preference.loss_weights", f"are {len(given.loss_weights)}.", f"{len(spec.losses)} are needed.")
    if "exo_pair" in given.loss and not given.label_smoothing:
        message = "exo_pair needs label smoothing above 0."
        yield problem("preference.label_smoothing", message, "Set 1e-3, as its paper does.")
    if not facts.has_reference and (given.reference or given.precompute):
        yield problem("preference.reference", f"{method} has no reference model.", "Leave it out.")
    if facts.takes_one_loss and len(given.loss) > 1:
        yield problem("preference.loss", f"{method} takes one loss.", f"Keep one of: {', '.join(facts.losses)}.")
    if spec.estimates_kl and given.precompute:
        yield problem("preference.precompute", f"{method} mixes its answers again in every step.", "Leave it out.")
    if spec.estimates_kl and spec.micro_batch == 1:
        message = f"{method} estimates its KL over the rows of a micro-batch."
        yield problem("micro_batch", message, "Raise it to 2 or more.")


def _check_engine(spec: RunSpec) -> Iterator[Problem]:
    engine = spec.engine
    if engine.flavor and not engine.timeout:
        yield problem("engine.timeout", "is missing.", "Hugging Face Jobs ends a job after 30 minutes by itself.")
    if engine.flavor and spec.publish is None:
        remedy = "Set publish: {repo: user/name}."
        yield problem("publish", "is missing: a job's disk is gone when it ends, and the adapter with it.", remedy)
    if engine.timeout and not engine.flavor:
        yield problem("engine.timeout", "is for Hugging Face Jobs.", "Set engine.flavor, or leave it out.")
    if spec.lora is None and spec.publish is not None and not spec.publish.merged:
        yield problem("publish.merged", "there is no adapter: the whole model is published.", "", "warning")
    if spec.lora is not None and spec.lora.merge and spec.quantization != "none":
        yield problem("lora.merge", "the adapter is merged into the unquantized model.", "", "warning")


SCHEDULERS = ("linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt")
OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adamw_bnb_8bit", "paged_adamw_8bit")


def _evaluates(spec: RunSpec) -> bool:
    return spec.evaluation.data is not None or spec.evaluation.share > 0


def _names(modules: str | list[str]) -> list[str]:
    return [modules] if isinstance(modules, str) else modules


def problem(field: str, message: str, remedy: str, severity: str = "error") -> Problem:
    """A problem in one line."""
    return Problem(field=field, severity=severity, message=message, remedy=remedy)


OTHER_NAMES = {
    "base_model": "model",
    "dataset": "data",
    "train_dataset": "data",
    "lr": "learning_rate",
    "batch_size": "micro_batch",
    "per_device_train_batch_size": "micro_batch",
    "gradient_accumulation_steps": "accumulation",
    "gradient_accumulation": "accumulation",
    "num_train_epochs": "epochs",
    "lr_scheduler_type": "scheduler",
    "optim": "optimizer",
    "warmup_ratio": "warmup",
    "max_seq_length": "max_length",
    "block_size": "max_length",
    "gradient_checkpointing": "activation_checkpointing",
    "trainer": "method",
    "dpo_beta": "preference.beta",
    "beta": "preference.beta",
    "loss_type": "preference.loss",
    "model_ref": "preference.reference",
    "report_to": "report",
    "hub_model_id": "publish.repo",
    "add_eos_token": "blocks.add_eos",
    "peft": "lora",
    "lora_r": "lora.rank",
    "lora_alpha": "lora.alpha",
    "target_modules": "lora.modules",
}
"""The names of our fields in other trainers."""


def explained(item: Any) -> Problem:
    """One of pydantic's errors as a problem."""
    field = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = list(RunSpec.model_fields) if len(item["loc"]) == 1 else []
        name = str(item["loc"][-1])
        near = [OTHER_NAMES[name]] if name in OTHER_NAMES else difflib.get_close_matches(name, known, 1)
        return problem(field, "there is no such field.", f"Did you mean {near[0]}?" if near else "Leave it out.")
    if item["type"] == "missing":
        return problem(field, "is missing.", "" if "." in field else "A spec needs a model and data.")
    if item["type"] == "value_error":
        return problem(field, f"{item['ctx']['error']}.", "")
    return problem(field, f"{item['msg']}; it is {shown(item['input'])}.", "")


def shown(value: Any) -> str:
    """The start of a value's repr; Python does not write a number with thousands of digits."""
    try:
        return quoted(value)
    except ValueError:
        return "a number of thousands of digits"
