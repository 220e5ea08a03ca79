"""Python scripts as text: imports, constants to change at the top, and a body that is the same for every model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inspector.exports.shown import base_model
from inspector.inspection import Inspection
from inspector.strategies import Truncation


@dataclass(frozen=True, slots=True)
class Script:
    """A script without its constants."""

    imports: str
    body: str

    def text(self, constants: Mapping[str, Any]) -> str:
        """The whole script; the constants' values become literals."""
        lines = (f"{name} = {value!r}" for name, value in constants.items())
        return "\n".join([self.imports, *lines, "", self.body])


def model_constants(inspection: Inspection, files: Mapping[str, str]) -> dict[str, Any]:
    """The model to train, and the name of the template's file next to the script, if there is one."""
    return {
        "MODEL": base_model(inspection.model),
        "REVISION": inspection.model.revision or "main",
        "TEMPLATE": next(iter(files), None),
    }


def kept_slice(length: int | None, truncation: str) -> slice:
    """The part of a row that truncation keeps, as a slice."""
    if length is None:
        return slice(None)
    return slice(-length, None) if truncation == Truncation.KEEP_END else slice(length)


TRAINING: Mapping[str, Any] = {
    "OUTPUT": "trained",
    "BATCH_SIZE": 8,
    "LEARNING_RATE": 2e-5,
    "EPOCHS": 1,
    "MAX_STEPS": -1,
}

SETTINGS = """\
        output_dir=OUTPUT,
        per_device_train_batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        num_train_epochs=EPOCHS,
        max_steps=MAX_STEPS,  # -1: all of the epochs; a small number tries it out
"""

PARSE = '''\
def parse(line):
    """A line of the data: a list of messages, or an object with messages, tools and template keywords."""
    row = json.loads(line)
    row = {"messages": row} if isinstance(row, list) else row
    messages, tools = row.pop("messages"), row.pop("tools", None)
    keywords = row.pop("chat_template_kwargs", None) or {}
    return {"messages": messages, "tools": tools, "chat_template_kwargs": {**row, **keywords}}
'''

TOKENIZE = f'''\
{PARSE}

def tokenize(line):
    """The ids of a line."""
    row = parse(line)
    return tokenizer.apply_chat_template(
        row["messages"], tools=row["tools"], tokenize=True, return_dict=False, **row["chat_template_kwargs"]
    )


with open(DATA, encoding="utf-8") as file:
    rows = Dataset.from_list([{{"input_ids": tokenize(line)[KEPT]}} for line in file if line.strip()])
'''

LABELS = Script(
    imports="""\
from pathlib import Path

import torch
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer
""",
    body=f"""\
rows = load_dataset("parquet", data_files=ROWS, split="train")
# A row that trains nothing is left out: a batch of such rows has no loss.
rows = rows.filter(lambda row: any(label != -100 for label in row["labels"]))

trainer = SFTTrainer(
    model=MODEL,
    train_dataset=rows,
    args=SFTConfig(
{SETTINGS}\
        bf16=torch.cuda.is_available(),
        max_length=None,
        dataset_kwargs={{"skip_prepare_dataset": True}},  # the labels are taken as they are
        chat_template_path=str(Path(__file__).with_name(TEMPLATE)) if TEMPLATE else None,
        model_init_kwargs={{"revision": REVISION}},
    ),
)

trainer.train()
trainer.save_model(OUTPUT)
""",
)

ASSISTANT_ONLY = Script(
    imports="""\
import json
from pathlib import Path

import torch
from datasets import Dataset, Features, Json
from trl import SFTConfig, SFTTrainer
""",
    body=f"""\

{PARSE}

with open(DATA, encoding="utf-8") as file:
    rows = [parse(line) for line in file if line.strip()]
# Json columns keep each message as it is; others would fill in the keys that only other messages have.
features = Features({{"messages": Json(), "tools": Json(), "chat_template_kwargs": Json()}})

trainer = SFTTrainer(
    model=MODEL,
    train_dataset=Dataset.from_list(rows, features=features),
    args=SFTConfig(
{SETTINGS}\
        bf16=torch.cuda.is_available(),
        assistant_only_loss=True,
        max_length=MAX_LENGTH,
        truncation_mode=TRUNCATION,
        chat_template_path=str(Path(__file__).with_name(TEMPLATE)) if TEMPLATE else None,
        model_init_kwargs={{"revision": REVISION}},
    ),
)

trainer.train()
trainer.save_model(OUTPUT)
""",
)

COLLATOR = Script(
    imports="""\
import json
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DataCollatorForCompletionOnlyLM, SFTConfig, SFTTrainer
""",
    body=f"""\
model = AutoModelForCausalLM.from_pretrained(MODEL, revision=REVISION)
tokenizer = AutoTokenizer.from_pretrained(MODEL, revision=REVISION)
if TEMPLATE:
    tokenizer.chat_template = Path(__file__).with_name(TEMPLATE).read_text(encoding="utf-8")
if tokenizer.pad_token is None:  # a token of its own: the collator trains no token that is the pad token
    tokenizer.add_special_tokens({{"pad_token": "<|pad|>"}})
    model.resize_token_embeddings(len(tokenizer))


{TOKENIZE}
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=rows,
    data_collator=DataCollatorForCompletionOnlyLM(RESPONSE, instruction_template=INSTRUCTION, tokenizer=tokenizer),
    args=SFTConfig(
{SETTINGS}\
        bf16=torch.cuda.is_available(),
        max_length=None,
    ),
)

trainer.train()
trainer.save_model(OUTPUT)
""",
)

UNSLOTH = Script(
    imports="""\
from unsloth import FastLanguageModel  # first: it changes the others
from unsloth.chat_templates import train_on_responses_only

import json
from pathlib import Path

from datasets import Dataset
from trl import SFTConfig, SFTTrainer
""",
    body=f"""\
model, tokenizer = FastLanguageModel.from_pretrained(MODEL, revision=REVISION, max_seq_length=MAX_LENGTH)
model = FastLanguageModel.get_peft_model(model, r=16, lora_alpha=16)
if TEMPLATE:
    tokenizer.chat_template = Path(__file__).with_name(TEMPLATE).read_text(encoding="utf-8")


{TOKENIZE}
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=rows,
    args=SFTConfig(
{SETTINGS}\
        max_length=MAX_LENGTH,
    ),
)
trainer = train_on_responses_only(
    trainer,
    instruction_part=INSTRUCTION_PART,
    response_part=RESPONSE_PART,
    last_response_only=LAST_RESPONSE_ONLY,
)

trainer.train()
trainer.save_model(OUTPUT)
""",
)
