"""A run's folder -> the model card of its adapter: what was trained on what, how it went, and code that loads it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from inspector.formats import TEXT_ROLE
from inspector.hub import EMBEDDED
from training.rows import found_name
from training.rundir import RunDir
from training.spec import Method, RunSpec

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def card(run: RunDir, precision: str) -> str:
    """The card as Markdown, with the front matter that the hub reads. `precision`: as `precision_of` names it."""
    spec, manifest = run.spec(), run.manifest()
    title = run.name or f"{_shown(spec.model)}, fine-tuned"
    parts = [
        f"---\n{yaml.safe_dump(_front_matter(spec), sort_keys=False, allow_unicode=True)}---\n\n# {title}",
        _what(spec, manifest),
        *manifest.get("notes", []),
        "## Load it\n\nIn the folder of this file:\n\n```python\n"
        + _code(run, spec, precision, manifest.get("revision"))
        + "```",
        "## Answers before and after\n\n" + _answers(run),
        "## Training\n\nWhat differs from the defaults:\n\n```yaml\n" + _portable(spec).to_yaml() + "```",
        _results(run),
        "Made with " + ", ".join(f"{name} {own}" for name, own in manifest.get("libraries", {}).items()) + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(spec: RunSpec) -> dict[str, Any]:
    found: dict[str, Any] = {"base_model": spec.model} if not Path(spec.model).is_dir() else {}
    found["library_name"] = "transformers" if spec.lora is None else "peft"
    found["pipeline_tag"] = "text-classification" if spec.method is Method.REWARD else "text-generation"
    found["tags"] = [spec.method.value, *([] if spec.lora is None else ["lora"]), "maskscope"]
    return found | ({"datasets": [spec.data.name]} if _is_on_hub(spec) else {})


def _is_on_hub(spec: RunSpec) -> bool:
    name = spec.data.name
    return bool(_HUB_ID.fullmatch(name)) and not Path(found_name(name)).exists()


def _shown(name: str) -> str:
    """A name on the hub, or the last part of a path: nobody else has the rest."""
    return Path(name).name if Path(name).exists() else name


def _portable(spec: RunSpec) -> RunSpec:
    """The spec without this machine's folders."""
    data = spec.data.model_copy(update={"name": spec.data.name if _is_on_hub(spec) else Path(spec.data.name).name})
    return spec.model_copy(update={"model": _shown(spec.model), "data": data})


def _what(spec: RunSpec, manifest: dict[str, Any]) -> str:
    kind = "All weights of" if spec.lora is None else "A LoRA adapter for"
    data = spec.data.name if _is_on_hub(spec) else Path(spec.data.name).name
    said = [
        f"{kind} {_shown(spec.model)}, trained on {manifest.get('rows', 0):,} rows of {data} "
        f"(sha256 of the rows as trained {manifest.get('data_sha256', 'unknown')[:16]}), method {spec.method}, "
        f"strategy `{spec.trained_by}`."
    ]
    if proof := manifest.get("proof"):
        said.append(proof["sentence"])
    return "\n\n".join(said)


def _code(run: RunDir, spec: RunSpec, precision: str, revision: str | None) -> str:
    """Python that loads what is in the folder and asks the first question again, or judges the first answer."""
    is_reward = spec.method is Method.REWARD
    kind = "AutoModelForSequenceClassification" if is_reward else "AutoModelForCausalLM"
    dtype = {"bf16": "bfloat16", "fp16": "float16"}.get(precision, "float32")
    base = repr(str(EMBEDDED.get(spec.model, spec.model))) if spec.lora else '"."'
    pinned = f", revision={revision!r}" if revision and spec.lora else ""
    head = ", num_labels=1" if is_reward else ""
    lines = [
        *(["from peft import PeftModel"] if spec.lora else []),
        f"from transformers import {kind}, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained(".")',
        f"model = {kind}.from_pretrained({base}{pinned}, dtype={dtype!r}{head})",
    ]
    if spec.lora and spec.special_tokens:
        lines.append("model.resize_token_embeddings(len(tokenizer))  # special tokens were added")
    if spec.lora:
        lines.append('model = PeftModel.from_pretrained(model, ".")')
    return "\n".join([*lines, *(_judging(run) if is_reward else _asking(run, spec))]) + "\n"


def _asking(run: RunDir, spec: RunSpec) -> list[str]:
    asked = next((s["messages"] for s in run.samples() if s["when"] == "after"), [{"role": "user", "content": "Hello"}])
    prompt = "tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)"
    if asked[0]["role"] == TEXT_ROLE:
        prompt = 'messages[0]["content"]'
    return [
        f"messages = {json.dumps(asked, ensure_ascii=False)}",
        f"prompt = {prompt}",
        'ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")',
        f"written = model.generate(**ids, do_sample=False, max_new_tokens={spec.sampling.max_new_tokens},",
        "                         eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)",
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
    """A table: each question, its answers, and the data's where it has one."""
    asked: dict[int, dict[str, str]] = {}
    for sample in run.samples():
        row = asked.setdefault(sample["question"], {})
        row["question"] = str(sample["messages"][-1].get("content") or "")
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
    said = " ".join(text.split())
    said = said if len(said) <= 300 else said[:299] + "…"
    return f"`{said}`".replace("|", "\\|") if said and "`" not in said else said.replace("|", "\\|")


def _results(run: RunDir) -> str:
    newest: dict[str, Any] = {}
    for line in run.metrics():
        newest |= line
    losses = [f"{name.replace('_', ' ')} {newest[name]:.4g}" for name in ("loss", "eval_loss") if name in newest]
    return f"After {newest.get('step', 0):,} steps: {', '.join(losses) or 'nothing was logged'}."
