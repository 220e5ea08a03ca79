"""Inspections that tell trainers apart, and what exported settings train, read back from their text alone."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from typing import Any

import yaml

import inspector
from inspector.conversation import Conversation
from inspector.errors import InspectorError
from inspector.exports.targets import Export
from inspector.inspection import Inspection, inspect
from inspector.model.model import Model
from inspector.strategies.markers_in_ids import completion_collator_bits, home_llm_bits
from tests.oracles import strategy_peers, trainer_code
from tests.support import models
from tests.support.corpus import CORPUS
from tests.support.fetch import fetched

NAMES = (
    "one turn",
    "two turns",
    "answer starts with a line break",
    "question starts with a line break",
    "consecutive assistants",
    "question only",
    "think in history",
    "tool round",
    "per-message flags",
    "generation prompt after an answer",
    "documents",
    "emoji families",
)
"""Conversations of the corpus that tell trainers apart."""


@lru_cache(maxsize=16)
def model(name: str) -> Model:
    """tiny-chat, or tiny-chat with a built-in template; a tokenizer made here; the slow bytes."""
    if name in ("chatml", "llama3", "qwen3"):
        return models.model(name)
    tokenizer, _, template = name.partition("/")
    return inspector.load(tokenizer, template=template or None)


MODELS = ("tiny-chat", "tiny-chat/alpaca", "llama3", "qwen3", "bytes-slow")


@lru_cache(maxsize=256)
def inspected(name: str, title: str, strategy: str = "traced", options: str = "{}") -> Inspection | None:
    """An inspection, or None where the template refuses the conversation."""
    try:
        return inspect(model(name), CORPUS[title], strategy, **json.loads(options))
    except InspectorError:
        return None


def cases() -> Iterator[Inspection]:
    """The conversations over the models, inspected with traced; and other policies and strategies on one model."""
    for name in MODELS:
        for title in NAMES if name == "tiny-chat" else NAMES[::2]:
            if inspection := inspected(name, title):
                yield inspection
    for strategy, options in (
        ("traced", {"turns": "last"}),
        ("traced", {"turns": "flagged"}),
        ("traced", {"turns": "every_token"}),
        ("traced", {"stop": "never"}),
        ("traced", {"stop": "last"}),
        ("full", {}),
        ("trl_assistant_only", {"max_length": 30}),
        ("home_llm", {"prefix_ids": [2, 1558, 203], "suffix_ids": "3"}),
        ("trl_completion_collator", {"response": "<|im_start|>assistant\n", "instruction": [2, 1507, 203]}),
        ("trl_completion_collator", {"response": [2, 1558, 203]}),
        ("responses_only", {"last_only": True}),
        ("content_diff", {"roles": ["user", "assistant"], "train_on_eos": "all"}),
    ):
        for title in ("two turns", "per-message flags", "tool round"):
            if inspection := inspected("tiny-chat", title, strategy, json.dumps(options)):
                yield inspection
    for modifiers in ({"max_length": 30}, {"max_length": 30, "truncation": "keep_end"}, {"keep": "last_response"}):
        yield inspect(model("tiny-chat"), CORPUS["two turns"], modifiers=modifiers)


# --- reading what was written, with nothing of the code that wrote it


def constants(script: str) -> dict[str, Any]:
    """The values at the top of a script."""
    found = {}
    for node in ast.parse(script).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
            code = ast.unparse(node.value)
            found[node.targets[0].id] = eval(code, {"slice": slice})
    return found


def comment(written: Export) -> str:
    """The comment at the top, as one line."""
    lines = []
    for line in written.text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[2:])
    return " ".join(" ".join(lines).split())


def flags(written: Export) -> dict[str, str]:
    """The flags of a command line."""
    words = shlex.split(written.text.replace("\\\n", " "), comments=True)
    assert words[:2] == ["python3", "train.py"]
    return {name.removeprefix("--"): value for name, value in zip(words[2::2], words[3::2], strict=True)}


def rendered_ids(inspection: Inspection, messages: Sequence[Any], **keywords: Any) -> list[int]:
    """Ids of messages through transformers itself."""
    own = inspection.model
    _, source = own.template_for(bool(keywords.get("tools")))
    return own.tokenizer.apply_chat_template(list(messages), chat_template=source, return_dict=False, **keywords)


Row = tuple[list[int], list[bool]]
"""What a trainer trains: ids, and a bit for each of them."""


def home_llm_row(inspection: Inspection, written: Export) -> Row:
    """The flags, over the row that home-llm renders."""
    found, conversation = flags(written), inspection.example.conversation
    messages = [{"role": message["role"], "content": message.get("content")} for message in conversation.messages]
    ids = rendered_ids(inspection, messages, tools=conversation.tools and list(conversation.tools))
    prefix, suffix = ([int(id) for id in found[name].split(",")] for name in ("prefix_ids", "suffix_ids"))
    size = int(found["ctx_size"])
    bits, _, _ = home_llm_bits(ids[:size], prefix, suffix)
    return ids, [False, *bits[1:], *[False] * (len(ids) - size)]


def collator_row(inspection: Inspection, written: Export) -> Row:
    """The script's ids, over what it keeps of the row."""
    found, ids = constants(written.text), inspection.ids
    kept = range(len(ids))[found["KEPT"]]
    pad = inspection.model.tokenizer.pad_token_id
    row, _ = completion_collator_bits(ids[found["KEPT"]], found["RESPONSE"], found["INSTRUCTION"], pad)
    bits = dict(zip(kept, [False, *row[1:]], strict=True))
    return ids, [bits.get(index, False) for index in range(len(ids))]


def unsloth_row(inspection: Inspection, written: Export) -> Row:
    """The script's headers; truncation is tested by itself."""
    found = constants(written.text)
    options = {
        "instruction_part": found["INSTRUCTION_PART"],
        "response_part": found["RESPONSE_PART"],
        "last_only": found["LAST_RESPONSE_ONLY"],
    }
    again = inspect(inspection.model, inspection.example.conversation, "responses_only", **options)
    return again.ids, [bool(bit) for bit in again.trained]


def axolotl_row(inspection: Inspection, written: Export) -> Row:
    """The configuration; other flags than the one it names are not read."""
    config = yaml.safe_load(written.text)
    (dataset,) = config["datasets"]
    flag, conversation = dataset.get("message_field_training"), inspection.example.conversation
    messages = [
        {name: value for name, value in message.items() if name not in ("train", "weight") or name == flag}
        for message in conversation.messages
    ]
    options = {name: dataset[name] for name in ("train_on_eos", "train_on_eot")}
    options |= {"roles": dataset["roles_to_train"], "eot_tokens": config.get("eot_tokens", [])}
    changed = replace(
        conversation, messages=tuple(messages), documents=None, keywords=config.get("chat_template_kwargs", {})
    )
    again = inspect(inspection.model, changed, "content_diff", **options)
    return again.ids, [bool(bit) and index < config["sequence_len"] for index, bit in enumerate(again.trained)]


def autotrain_row(inspection: Inspection, written: Export) -> Row:
    """Everything, of the messages alone."""
    assert yaml.safe_load(written.text)["task"] == "llm-sft"
    ids = rendered_ids(inspection, inspection.example.conversation.messages)
    return ids, [False, *[True] * (len(ids) - 1)]


def llama_factory_row(inspection: Inspection, written: Export) -> Row:
    """What LLaMA-Factory's own code makes of the row, by the configuration and the description of the data."""
    config = yaml.safe_load(written.text)
    about = json.loads(written.files["dataset_info.json"])[config["dataset"]]
    assert about["formatting"] == "sharegpt"
    assert {name: tag for name, tag in about["tags"].items() if name[:-4] != tag} == {}
    options = {name: config[name] for name in ("train_on_prompt", "mask_history", "cutoff_len")}
    messages = [
        {name: message.get(name) for name in ("role", "content")}
        for message in inspection.example.conversation.messages
    ]
    plain = Conversation(messages=tuple(messages))
    outcome = fetched(lambda: trainer_code.llama_factory(replace(inspection.example, conversation=plain), **options))
    assert outcome.ids is not None
    assert outcome.bits is not None
    left = inspection.ids[len(outcome.ids) :]
    opens = inspection.example.conversation.adds_generation_prompt
    if [*outcome.ids, *left] == inspection.ids and not opens:  # it is cut
        return inspection.ids, [False, *outcome.bits[1:], *([False] * len(left))]
    return outcome.ids, outcome.bits


def labels_row(inspection: Inspection, written: Export) -> Row:
    """The row that is written to the file."""
    assert constants(written.text)["ROWS"].endswith(".parquet")
    return inspection.ids, [label != -100 for label in inspection.labels]


def trl_row(inspection: Inspection, written: Export) -> Row:
    """What TRL's own preparation makes of the conversation with the script's settings."""
    found, conversation, tokenizer = (
        constants(written.text),
        inspection.example.conversation,
        inspection.model.tokenizer,
    )
    template = written.files.get(found["TEMPLATE"] or "", inspection.model.template)
    example = replace(inspection.example, conversation=conversation, template=template, tokenizer=tokenizer)
    outcome = strategy_peers.trl_assistant_only(example)
    assert outcome.ids is not None
    assert outcome.bits is not None
    return outcome.ids, outcome.bits


ROWS: dict[str, Callable[[Inspection, Export], Row]] = {
    "trl_labels": labels_row,
    "trl_collator": collator_row,
    "home_llm": home_llm_row,
    "unsloth": unsloth_row,
    "axolotl": axolotl_row,
    "autotrain": autotrain_row,
    "llama_factory": llama_factory_row,
}


def places(bits: Sequence[bool]) -> list[tuple[int, int]]:
    """The first three ranges that are set, both ends included."""
    groups = (list(group) for is_set, group in groupby(range(len(bits)), bits.__getitem__) if is_set)
    return [(group[0], group[-1]) for group in groups][:3]


def check_verdict(inspection: Inspection, written: Export, row: Row) -> None:
    """The verdict's numbers and places are those of the row."""
    ids, bits = row
    shown = [bool(bit) for bit in inspection.trained]
    if ids != inspection.ids:
        assert not written.same
        assert written.verdict.startswith(f"Renders {len(ids)} other tokens than the {len(shown)} that are shown.")
        return
    if written.target != "autotrain":  # it also says no where the text is tokenized again with special tokens
        assert written.same == (bits == shown)
    said = written.verdict.split(" Could not ")[0].split(" The ")[0]
    if bits == shown:
        count = {0: "no token, as is shown", 1: "the one token that is"}.get(
            sum(shown), f"the {sum(shown)} tokens that"
        )
        assert said.startswith(f"Trains {count}")
        return
    kinds, said = said.split(". ", 1)  # in words, and then in numbers
    assert kinds.split()[0] in ("Trains", "Misses")
    assert said.startswith(f"Trains {sum(bits) or 'none'} of {len(bits)} tokens, not the {sum(shown)} that are shown: ")
    more = [ours and not theirs for ours, theirs in zip(bits, shown, strict=True)]
    less = [theirs and not ours for ours, theirs in zip(bits, shown, strict=True)]
    named = [(int(a), int(b or a)) for a, b in re.findall(r"' \(tokens? (\d+)(?:-(\d+))?\)", said)]
    named += [(int(a), int(b or a)) for a, b in re.findall(r"\" \(tokens? (\d+)(?:-(\d+))?\)", said)]
    assert sorted(named) == sorted(places(more) + places(less))
    assert (": also " in said) == any(more)
    assert ("not '" in said or 'not "' in said) == any(less)
