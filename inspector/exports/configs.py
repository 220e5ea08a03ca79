"""LLaMA-Factory and AutoTrain, whose settings say little about what trains."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import Any

from inspector.exports.shown import (
    TEMPLATE_FILE,
    base_model,
    chosen_template,
    passed,
    row_length,
    trains_last_answer_only,
)
from inspector.exports.verdict import Export, Outcome, Target, judge
from inspector.exports.yaml_text import yaml_text
from inspector.inspection import Inspection

LLAMA_FACTORY = Target(
    target="llama_factory", title="LLaMA-Factory", filename="config.yaml", language="yaml", version="0.9.5"
)
AUTOTRAIN = Target(target="autotrain", title="AutoTrain", filename="config.yaml", language="yaml")


def llama_factory(inspection: Inspection, data: str) -> Export:
    """A configuration, and the description of the data that has to stand next to it."""
    name = PurePath(data).stem
    roles = {f"{role}_tag": role for role in ("user", "assistant", "system")}
    description = {
        "file_name": data,
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {"role_tag": "role", "content_tag": "content", **roles},
    }
    settings: dict[str, Any] = {
        "model_name_or_path": base_model(inspection.model),
        **({"model_revision": inspection.model.revision} if inspection.model.revision else {}),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "dataset": name,
        "dataset_dir": ".",
        "cutoff_len": row_length(inspection),
        "train_on_prompt": False,
        "mask_history": trains_last_answer_only(inspection),
        "output_dir": "trained",
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "learning_rate": 2e-5,
        "num_train_epochs": 1.0,
        "bf16": True,
    }
    notes = [
        "Without `template` it makes one from the tokenizer's; to be sure, name the one of its own that fits the model."
    ]
    files = {"dataset_info.json": json.dumps({name: description}, indent=2, ensure_ascii=False) + "\n"}
    outcome = judge(
        inspection,
        "llama_factory",
        {name: settings[name] for name in ("train_on_prompt", "mask_history", "cutoff_len")},
        conversation=passed(inspection.example.conversation, fields=("role", "content"), tools=False),
        passes="LLaMA-Factory renders with slots that it parses out of the template, from role and content alone.",
    )
    return LLAMA_FACTORY.export(inspection, outcome, yaml_text(settings), notes=notes, files=files)


def autotrain(inspection: Inspection, data: str) -> Export:
    """A configuration for `autotrain --config`; its trainer has no mask."""
    outcome = judge(
        inspection,
        "full",
        {},
        conversation=passed(inspection.example.conversation, tools=False),
        passes="AutoTrain passes the messages alone to the template.",
    )
    path, length, files = PurePath(data), row_length(inspection), chosen_template(inspection)
    settings = {
        "task": "llm-sft",
        "base_model": base_model(inspection.model),
        "project_name": f"autotrain-{inspection.model.name.split('/')[-1]}",
        "log": "tensorboard",
        "backend": "local",
        "data": {
            "path": str(path.parent),
            "train_split": path.stem,
            "valid_split": None,
            "chat_template": "tokenizer",
            "column_mapping": {"text_column": "messages"},
        },
        "params": {
            "block_size": length,
            "model_max_length": length,
            "epochs": 1,
            "batch_size": 2,
            "lr": 2e-5,
            "padding": "right",
            "optimizer": "adamw_torch",
            "scheduler": "linear",
            "gradient_accumulation": 4,
            "mixed_precision": "fp16",
        },
        "hub": {"username": "${HF_USERNAME}", "token": "${HF_TOKEN}", "push_to_hub": True},
    }
    notes = [f"AutoTrain joins the rows, an eos between them, and cuts what comes of it into {length} tokens each."]
    if files:
        notes.append(
            f"It takes the template from the model: put {TEMPLATE_FILE} into a folder with a copy of it first."
        )
    return AUTOTRAIN.export(
        inspection, _tokenized_again(inspection, outcome), yaml_text(settings), notes=notes, files=files
    )


def _tokenized_again(inspection: Inspection, outcome: Outcome) -> Outcome:
    """AutoTrain tokenizes the rendered text as any text: the tokenizer may add special tokens to it."""
    again = inspection.model.tokenizer(inspection.text, verbose=False)["input_ids"]
    if list(again) == inspection.ids:
        return outcome
    reason = f"It tokenizes the rendered text with special tokens: {len(again)} tokens, not {len(inspection.ids)}."
    return Outcome(verdict=f"{outcome.verdict} {reason}", same=False)
