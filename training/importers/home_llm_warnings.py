"""Differences from home-llm's train.py: a sentence for each option, beginning with its name."""

from __future__ import annotations

from collections.abc import Iterator

from inspector.paths import shell_command
from training.importers.home_llm_flags import Flags
from training.importers.reading import first_columns, is_installed


def warnings(flags: Flags) -> Iterator[str]:
    """The warnings; each begins with its option."""
    for about in (_of_tokens, _of_rows, _of_steps, _of_weights, _of_others):
        yield from about(flags)


def _of_tokens(flags: Flags) -> Iterator[str]:
    if flags.dpo:
        if flags.prefix_ids:
            yield "prefix_ids: dpo searches for no ids: it has no effect, as in train.py."
        yield (
            "dpo: each answer trains up to the template's stop token (strategy: traced); train.py puts the tokenizer's "
            "eos after it."
        )
    elif flags.prefix_ids:
        yield (
            "prefix_ids: train.py's very tokens train (strategy: home_llm): of the suffix only the first id, and the "
            "last token of each row. strategy: traced trains the answers and their stop tokens, nothing else."
        )
    else:
        yield (
            "prefix_ids: not given: train.py would search for what the template writes around an answer, and can miss "
            "it. Here the answers and their stop tokens train (strategy: traced). With --prefix_ids and --suffix_ids "
            f"train.py's very tokens do; {shell_command('inspector')} markers MODEL finds them."
        )


def _of_rows(flags: Flags) -> Iterator[str]:
    if not flags.dpo and not flags.prefix_ids and "text" in (first_columns(flags.train_dataset) or ()):
        yield (
            "train_dataset: its rows are texts, in which nobody knows the answers: give --prefix_ids and --suffix_ids, "
            "or take strategy: full."
        )
    if flags.dpo and flags.group_by_length:
        yield "group_by_length: a pair has no single length: it is left out."


def _of_steps(flags: Flags) -> Iterator[str]:
    given = flags.model_fields_set
    left = flags.batch_size % flags.micro_batch_size
    if left:
        yield f"batch_size: a step has {flags.batch_size - left} rows, whole micro-batches, as in train.py."
    if not flags.dpo and not flags.learning_rate_schedule.startswith("constant"):
        yield "learning_rate_schedule: ends with the last step; train.py stretches it to 1.15 times the steps."
    if flags.save_steps == -1:
        saved = "with each evaluation" if flags.test_dataset else "at the end"
        yield f"save_steps: train.py saves after each epoch; the run is saved {saved}."
    if not flags.test_dataset:
        if "eval_steps" in given:
            yield "eval_steps: without --test_dataset there is nothing to evaluate on, as in train.py."
        return
    if flags.eval_steps == -1:
        yield "eval_steps: train.py evaluates after each epoch; set evaluation.every to as many steps as that is."
    if not flags.dpo:
        yield "test_dataset: all of its rows are evaluated; train.py draws a tenth of them each time."


def _of_weights(flags: Flags) -> Iterator[str]:
    given = flags.model_fields_set
    if not flags.bf16:
        yield "bf16: not given: train.py trains fp16 weights; here bf16 where the GPU computes it, else fp32."
    if not flags.use_lora:
        for name in sorted(name for name in given if name.startswith("lora_")):
            yield f"{name}: without --use_lora it has no effect, as in train.py."
    elif not flags.lora_modules:
        yield "lora_modules: not given: peft would take its own list for the kind of model; here: attention."
    if flags.load_in_4bit:
        yield "load_in_4bit: weights are nf4, quantized twice; train.py's are fp4."
    if flags.load_as_gptq:
        yield (
            "load_as_gptq: transformers loads such weights as the model's own config says; what they cost is not "
            "estimated, and --lora_merge may fail on them."
        )


def _of_others(flags: Flags) -> Iterator[str]:
    given = flags.model_fields_set
    if not is_installed("tensorboard", "tensorboardX"):
        yield "logging_steps: tensorboard is not installed here: the metrics are in the run's folder."
    if not flags.dpo:
        for name in sorted({"beta", "dpo_loss"} & given):
            yield f"{name}: without --dpo it has no effect, as in train.py."
    if "pre_allocate_cuda_buffers" in given:
        yield "pre_allocate_cuda_buffers: has no effect, as in train.py."
    if "dataset_processing_threads" in given:
        yield "dataset_processing_threads: has no effect: rows are prepared one by one."
    for name in sorted({"sync_to_bucket", "bucket_save_limit"} & given):
        yield f"{name}: nothing is sent to S3: the run's folder stays on this machine; publish: is the hub's."
    if flags.flops_baseline:
        costs = f"{shell_command('training')} estimate says what a run costs"
        yield f"flops_baseline: the share of it is not logged; {costs}."
