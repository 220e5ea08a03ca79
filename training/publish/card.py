"""A run's folder -> the model card of its adapter or merged model: the model, the data, the results, and code that
loads it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from inspector.conversation import TEXT_ROLE, words_of
from inspector.errors import one_line
from inspector.model.hub import EMBEDDED
from inspector.model.processor import SETTINGS
from inspector.paths import found_name
from inspector.pictures import sources
from training.run.folder import RunDir
from training.run.manifest import Manifest
from training.spec import RunSpec

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


LOSS_ROWS = 10
"""Steps in the table of losses."""


def card(run: RunDir, precision: str, *, is_whole: bool = False, place: str = ".") -> str:
    """The card as Markdown, with the front matter that the hub reads.

    `precision`: as named by `precision_of`. `is_whole`: for the merged model, not the adapter. `place`: the place that
    its code loads from, the folder of the card or a name on the hub.
    """
    spec, facts = run.spec(), run.facts()
    is_whole = is_whole or spec.lora is None
    title = run.name or f"{_shown(spec.model)}, fine-tuned"
    where = "In the folder of this file:\n\n" if place == "." else ""
    code = _code(run, spec, precision, facts.revision, is_whole=is_whole, place=place)
    parts = [
        f"---\n{yaml.safe_dump(_front_matter(spec, is_whole), sort_keys=False, allow_unicode=True)}---\n\n# {title}",
        _what(spec, facts, is_whole),
        *facts.notes,
        f"## Load it\n\n{where}```python\n{code}```",
        "## Answers before and after\n\n" + _answers(run),
        "## Training\n\nWhat differs from the defaults:\n\n```yaml\n" + portable(spec).to_yaml() + "```",
        _results(run),
        *_curve(run),
        "Made with " + ", ".join(f"{name} {version}" for name, version in facts.libraries.items()) + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(spec: RunSpec, is_whole: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"base_model": spec.model} if not Path(spec.model).is_dir() else {}
    found["library_name"] = "transformers" if is_whole else "peft"
    found["pipeline_tag"] = spec.facts.pipeline_tag
    found["tags"] = [spec.method.value, *([] if spec.lora is None else ["lora"]), "maskscope"]
    return found | ({"datasets": [spec.data.name]} if _is_on_hub(spec) else {})


def _is_on_hub(spec: RunSpec) -> bool:
    name = spec.data.name
    return bool(_HUB_ID.fullmatch(name)) and not Path(found_name(name)).exists()


def _shown(name: str) -> str:
    """A name on the hub, or the last part of a path: the rest exists only on this machine."""
    return Path(name).name if Path(name).exists() else name


def portable(spec: RunSpec) -> RunSpec:
    """The spec without this machine's folders."""
    data = spec.data.model_copy(update={"name": spec.data.name if _is_on_hub(spec) else Path(spec.data.name).name})
    held_out = spec.evaluation.data
    if held_out is not None:
        held_out = held_out.model_copy(update={"name": _shown(found_name(held_out.name))})
    changes = {
        "model": _shown(spec.model),
        "data": data,
        "evaluation": spec.evaluation.model_copy(update={"data": held_out}),
        "preference": spec.preference.model_copy(update={"reference": _shown(spec.preference.reference)}),
        "engine": spec.engine.model_copy(update={"accelerate_config": Path(spec.engine.accelerate_config).name}),
    }
    return spec.model_copy(update=changes)


def _what(spec: RunSpec, facts: Manifest, is_whole: bool) -> str:
    kind = "All weights of" if spec.lora is None else "A LoRA adapter for"
    if is_whole and spec.lora is not None:
        kind = "A LoRA adapter merged into"
    data = spec.data.name if _is_on_hub(spec) else Path(spec.data.name).name
    sentences = [
        f"{kind} {_shown(spec.model)}, trained on {facts.rows or 0:,} rows of {data} "
        f"(sha256 of the rows as trained {facts.data_sha256[:16]}), method {spec.method}, "
        f"strategy `{facts.strategy or spec.trained_by}`."
    ]
    if facts.proof is not None:
        sentences.append(facts.proof.sentence)
    return "\n\n".join(sentences)


def _code(run: RunDir, spec: RunSpec, precision: str, revision: str | None, *, is_whole: bool, place: str) -> str:
    """Python code that loads the folder and asks the first question again, or judges the first answer."""
    sees = not spec.facts.is_reward and any((run.adapter / name).is_file() for name in SETTINGS)
    kind = "AutoModelForImageTextToText" if sees else spec.facts.model_class
    dtype = {"bf16": "bfloat16", "fp16": "float16"}.get(precision, "float32")
    quoted = json.dumps(place)
    base = quoted if is_whole else repr(str(EMBEDDED.get(spec.model, spec.model)))
    pinned = f", revision={revision!r}" if revision and not is_whole else ""
    head = "".join(f", {name}={value}" for name, value in spec.facts.head.items())
    lines = [
        *([] if is_whole else ["from peft import PeftModel"]),
        f"from transformers import {kind}, {'AutoProcessor' if sees else 'AutoTokenizer'}",
        "",
        *([f"processor = AutoProcessor.from_pretrained({quoted})", "tokenizer = processor.tokenizer"] if sees else []),
        *([] if sees else [f"tokenizer = AutoTokenizer.from_pretrained({quoted})"]),
        f"model = {kind}.from_pretrained({base}{pinned}, dtype={dtype!r}{head})",
    ]
    if spec.special_tokens and not is_whole:
        lines.append("model.resize_token_embeddings(len(tokenizer))  # special tokens were added")
    if not is_whole:
        lines.append(f"model = PeftModel.from_pretrained(model, {quoted})")
    return "\n".join([*lines, *(_judging(run) if spec.facts.is_reward else _asking(run, spec, is_whole))]) + "\n"


def _asking(run: RunDir, spec: RunSpec, is_whole: bool) -> list[str]:
    asked = next((s["messages"] for s in run.samples() if s["when"] == "after"), [{"role": "user", "content": "Hello"}])
    prompt = "tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)"
    if asked[0]["role"] == TEXT_ROLE:
        prompt = 'messages[0]["content"]'
    texts = run.facts().stop_strings  # stop strings, if no special token ends an answer
    stops = f", stop_strings={texts!r}, tokenizer=tokenizer" if texts else ""
    ends = [
        f"written = model.generate(**ids, do_sample=False, max_new_tokens={spec.sampling.max_new_tokens},",
        f"                         eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id{stops})",
    ]
    if is_whole and spec.lora is not None:  # its own generation_config.json names the tokens that end an answer
        limit = spec.sampling.max_new_tokens
        ends = [f"written = model.generate(**ids, do_sample=False, max_new_tokens={limit}{stops})"]
    given = [f"prompt = {prompt}", 'ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")']
    if any(sources(asked)):
        given = [
            "ids = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=True,",
            '                                    return_dict=True, return_tensors="pt",',
            '                                    processor_kwargs={"add_special_tokens": False})',
        ]
    return [
        f"messages = {json.dumps(asked, ensure_ascii=False)}",
        *given,
        *ends,
        'print(tokenizer.decode(written[0][ids["input_ids"].shape[1]:]))',
    ]


def _judging(run: RunDir) -> list[str]:
    judged = next((s["judged"] for s in run.samples() if s["when"] == "after"), [{"role": "user", "content": "Hello"}])
    return [
        f"messages = {json.dumps(judged, ensure_ascii=False)}",
        "text = tokenizer.apply_chat_template(messages, tokenize=False)",
        'ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")',
        'print(f"{float(model(**ids).logits[0, 0]):+.3f}")',
    ]


def _answers(run: RunDir) -> str:
    """A table of the questions, their answers, and the data's answer if there is one."""
    asked: dict[int, dict[str, str]] = {}
    for sample in run.samples():
        row = asked.setdefault(sample["question"], {})
        row["question"] = words_of(sample["messages"][-1])
        row["reference"] = sample["reference"] or ""
        row[sample["when"]] = sample["answer"]
    if not asked:
        return "None were asked for."
    names = ["question", "before", "after", *(["reference"] if any(r["reference"] for r in asked.values()) else [])]
    head = f"| {' | '.join(names)} |\n|{'---|' * len(names)}\n"
    return head + "\n".join(
        "| " + " | ".join(_cell(row.get(name, "")) for name in names) + " |" for row in asked.values()
    )


def _cell(text: str) -> str:
    line = one_line(text, 300)
    return f"`{line}`".replace("|", "\\|") if line and "`" not in line else line.replace("|", "\\|")


def _results(run: RunDir) -> str:
    newest: dict[str, Any] = {}
    for line in run.metrics():
        newest |= line
    losses = [f"{name.replace('_', ' ')} {newest[name]:.4g}" for name in ("loss", "eval_loss") if name in newest]
    return f"After {newest.get('step', 0):,} steps: {', '.join(losses) or 'nothing was logged'}."


def _curve(run: RunDir) -> list[str]:
    """A table of the losses at some steps, including the first and the last; empty if nothing was logged."""
    names = ("loss", "eval_loss")
    steps: dict[int, dict[str, float]] = {}
    for line in run.metrics():
        steps.setdefault(line["step"], {}).update({name: line[name] for name in names if name in line})
    rows = [(step, figures) for step, figures in steps.items() if figures]
    shown = [name for name in names if any(name in figures for _, figures in rows)]
    if len(rows) > LOSS_ROWS:
        rows = [rows[round(i * (len(rows) - 1) / (LOSS_ROWS - 1))] for i in range(LOSS_ROWS)]
    if not rows:
        return []
    head = f"| step | {' | '.join(name.replace('_', ' ') for name in shown)} |\n|{'---:|' * (1 + len(shown))}\n"
    cells = ([f"{figures[name]:.4g}" if name in figures else "" for name in shown] for _, figures in rows)
    return [
        head
        + "\n".join(f"| {step:,} | {' | '.join(figures)} |" for (step, _), figures in zip(rows, cells, strict=True))
    ]
