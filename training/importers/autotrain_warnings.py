"""Differences from AutoTrain: a sentence for each key, beginning with the key."""

from __future__ import annotations

from collections.abc import Iterator

from training.importers.autotrain_keys import OF_PAIRS, REPORTS, TOKENS, AutoTrainKeys, Config
from training.importers.reading import is_installed


def warnings(found: Config) -> Iterator[str]:
    """The warnings; each begins with the place of its key."""
    for about in (_of_method, _of_rows, _of_steps, _of_weights):
        for line in about(found.keys):
            key, text = line.split(": ", 1)
            yield f"{found.places[key]}: {text}"
    if found.token not in ("", "HF_TOKEN"):
        what = "its value is not kept" if found.token == "literal" else f"{found.token} is not read"
        yield f"hub.token: {what}: set the environment variable HF_TOKEN where the run is published."


def _of_method(keys: AutoTrainKeys) -> Iterator[str]:
    given = keys.model_fields_set
    if keys.trainer == "sft":
        yield (
            "trainer: AutoTrain's sft trains every token, and so does strategy: full here. Take strategy: traced to "
            "train the answers alone. Rows are packed as there, but none sees another."
        )
    if keys.trainer == "default":
        yield "trainer: rows are joined into blocks as there; the last, shorter block trains, too."
    if keys.trainer == "default" and keys.chat_template and keys.add_eos_token:
        yield "add_eos_token: eos is added to texts alone; a chat ends as its template ends it."
    if keys.trainer == "orpo":
        yield (
            "trainer: the likelihood counts the tokens of the chosen answer; AutoTrain's ORPO counts those of the "
            "prompt, too."
        )
    if keys.trainer == "orpo" and keys.max_completion_length is not None:
        yield "max_completion_length: orpo cuts the answers of encoder-decoder models alone: it has no effect."
    if keys.trainer not in ("dpo", "orpo") and "max_prompt_length" in given:
        yield "max_prompt_length: dpo and orpo alone cut prompts: it has no effect."
    if keys.trainer in ("sft", "default", "reward") and keys.max_completion_length is not None:
        yield "max_completion_length: dpo alone cuts answers: it has no effect."
    if keys.trainer in ("dpo", "orpo") and "max_prompt_length" not in given:
        yield "max_prompt_length: is missing: AutoTrain's default, 128, keeps the last 128 tokens of a prompt."
    if keys.trainer != "default" and "add_eos_token" in given:
        yield "add_eos_token: llm-generic alone adds it: it has no effect."
    if keys.trainer != "dpo":
        for name in sorted({"dpo_beta", "model_ref"} & given):
            yield f"{name}: dpo alone has it: it has no effect."
    if keys.trainer == "dpo" and keys.peft and keys.model_ref:
        yield "model_ref: with peft the model before the training is the reference: it has no effect."


def _of_rows(keys: AutoTrainKeys) -> Iterator[str]:
    template = keys.chat_template
    if template in TOKENS:
        yield (
            f"chat_template: {template} gives the tokenizer AutoTrain's special tokens, and embeddings of new ones "
            "train. chat_template: tokenizer keeps the model's own."
        )
    if keys.trainer not in OF_PAIRS:
        for name in sorted({"rejected_text_column", "prompt_text_column"} & keys.model_fields_set):
            yield f"{name}: this task reads the text column alone: it has no effect."
    if keys.trainer in OF_PAIRS and template is None:
        parts = "the answer" if keys.trainer == "reward" else "prompt, answer, eos"
        yield (
            f"chat_template: none: columns are texts, written end to end ({parts}). Where they hold messages take "
            "tokenizer."
        )
    if keys.trainer in OF_PAIRS and template is not None:
        yield (
            "chat_template: an answer is judged up to its stop token; AutoTrain also counts the template's text after "
            "it, and an eos."
        )
    if keys.trainer in OF_PAIRS and template == "zephyr":
        yield "chat_template: AutoTrain begins with an empty system message where there is none; here none is added."
    if keys.trainer == "reward" and keys.prompt_text_column is not None:
        yield "prompt_text_column: stands before answers that do not hold it; AutoTrain's reward leaves it out."
    if keys.padding == "left":
        yield "padding: rows are padded on the right, where attention does not reach: the loss is the same."


def _of_steps(keys: AutoTrainKeys) -> Iterator[str]:
    given = keys.model_fields_set
    if keys.logging_steps == -1 and "logging_steps" in given:
        yield "logging_steps: automatic: every step is logged."
    if keys.auto_find_batch_size:
        yield "auto_find_batch_size: where memory runs out a run goes on with half the rows at a time, by itself."
    if keys.valid_split is None and "eval_strategy" in given:
        yield "eval_strategy: without valid_split there is nothing to evaluate on: it has no effect."
    if keys.valid_split is not None and keys.eval_strategy == "no":
        yield "eval_strategy: no: valid_split is left out."
    if keys.valid_split is not None and keys.eval_strategy != "no":
        if keys.eval_strategy == "epoch" or keys.logging_steps < 1:
            yield "eval_strategy: the run evaluates every 20 steps; set evaluation.every to as many as you want."
        yield "valid_split: AutoTrain ends with the best checkpoint; set evaluation.patience for that."
    if keys.log is not None and keys.log not in REPORTS:
        yield f"log: there is no {keys.log} here: the metrics are in the run's folder; there are: {', '.join(REPORTS)}."
    if keys.log in REPORTS and not is_installed(str(keys.log)):
        yield f"log: {keys.log} is not installed here: pip install {keys.log}"
    if keys.backend.startswith("spaces-"):
        yield (
            f"backend: the run stays on this machine. On Hugging Face Jobs: engine: {{flavor: {keys.backend[7:]}, "
            "timeout: 4h}."
        )
    elif not keys.backend.startswith("local"):
        yield f"backend: there is no {keys.backend} here: the run stays on this machine; engine.flavor names another."
    if keys.distributed_backend is not None:
        yield "distributed_backend: engine.processes and engine.accelerate_config say how many train together."


def _of_weights(keys: AutoTrainKeys) -> Iterator[str]:
    given = keys.model_fields_set
    of_lora = {"lora_r", "lora_alpha", "lora_dropout", "target_modules", "merge_adapter", "quantization"}
    if not keys.peft:
        for name in sorted(of_lora & given):
            if getattr(keys, name):
                yield f"{name}: without peft: true it has no effect."
    elif keys.target_modules is None:
        yield "target_modules: none: peft would take its own list for the kind of model; here: attention."
    if keys.peft and keys.trainer == "reward" and keys.quantization:
        yield "quantization: a reward model is not quantized here."
    elif keys.peft and "quantization" not in given:
        yield "quantization: is missing: AutoTrain's default is int4, which needs a CUDA device; null for none."
    if keys.unsloth:
        yield "unsloth: is not used: the loss is made cheaper here by other means (speed), and stays the same."
    if keys.use_flash_attention_2:
        yield "use_flash_attention_2: is not used: torch's own attention is."
