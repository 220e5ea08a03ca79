"""A script for an issue: it asks a trainer which tokens of a conversation it trains, and fails while that is wrong.

Scripts exist only for trainers whose code can be called in a few lines: transformers and TRL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from inspector.exports.scripts import Script
from inspector.exports.shown import base_model, chosen_template
from inspector.exports.verdict import comment
from inspector.inspection import Inspection
from inspector.model.model import ADDITIONAL
from inspector.strategies import EXACT, FACTS, OWN_LABELS
from inspector.strategies.base import ranges_of
from inspector.trainers.verdict import truth_of, verdict_on

_HIDDEN = re.compile(r"[^\x20-\x7e\n]")
_LOAD = """\
tokenizer = AutoTokenizer.from_pretrained(MODEL, revision=REVISION)
if TEMPLATE:
    tokenizer.chat_template = TEMPLATE
"""
_CHECK = """
if len(ids) != TOKENS or any(tokenizer.decode(ids[start:end]) != text for start, end, text in EXPECTED):
    raise SystemExit(f"These are other tokens than those of the report: {tokenizer.decode(ids)!r}")
should = set().union(*(range(start, end) for start, end, _ in EXPECTED))
# Nothing before the first token could predict it, so its label has no effect.
differing = [i for i in range(1, len(ids)) if bool(trained[i]) != (i in should)]
wrong = [(i, tokenizer.decode(ids[i]), bool(trained[i])) for i in differing]
assert not wrong, f"(token, text, whether it is trained): {wrong}"
print("Exactly the expected tokens are trained.")
"""
_TRANSFORMERS = Script(
    imports="""\
import json

from transformers import AutoTokenizer
""",
    body="""\
encoded = tokenizer.apply_chat_template(
    ROW["messages"],
    tools=ROW.get("tools"),
    return_dict=True,
    return_assistant_tokens_mask=True,
    **ROW.get("chat_template_kwargs", {}),
)
ids, trained = encoded["input_ids"], encoded["assistant_masks"]
""",
)
_TRL = Script(
    imports="""\
import json

from datasets import Dataset, Features, Json
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer
""",
    body="""\
# Which tokens are trained does not depend on the model: a tiny one with random weights does.
sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
trainer = SFTTrainer(
    model=LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)),
    processing_class=tokenizer,
    train_dataset=Dataset.from_list([ROW], features=Features({name: Json() for name in ROW})),
    args=SFTConfig(output_dir="unused", report_to="none", use_cpu=True, bf16=False, max_length=None, **SETTINGS),
)
batch = next(iter(trainer.get_train_dataloader()))
ids = batch["input_ids"][0].tolist()
trained = [label != -100 for label in batch["labels"][0].tolist()]
""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """`script`: the script, "" if there is none; `why`: the reason, "" if there is nothing to reproduce."""

    script: str = ""
    why: str = ""

    def to_dict(self) -> dict[str, str]:
        """The JSON form."""
        return {"script": self.script, "why": self.why}


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of a trainer's own code. `row`: the row it is given; `settings`: those of TRL."""

    script: Script
    row: Callable[[Inspection], dict[str, Any]]
    settings: Mapping[str, Any] | None = None


def reproduction(inspection: Inspection) -> Reproduction:
    """The script for an inspection. Its assert fails if the mask is not exactly what the assistant wrote."""
    if inspection.strategy in (EXACT, OWN_LABELS):
        return Reproduction()
    facts = FACTS[inspection.strategy]
    if inspection.strategy not in _CALLS:
        code = " ".join(filter(None, [facts.trainer, facts.version]))
        return Reproduction(why=f"it has to call {code}, and is only written for transformers and TRL")
    if inspection.example.pictures:
        return Reproduction(why="it is written for rows of texts, and this one has images")
    is_modified = (
        inspection.modifiers.to_dict().keys() - {"as_given"} or inspection.example.conversation.prompt_messages
    )
    if inspection.options or is_modified:
        return Reproduction(why="it is written for whole rows and the trainer's defaults only")
    return Reproduction(script=_script(inspection, _CALLS[inspection.strategy]))


def _script(inspection: Inspection, call: _Call) -> str:
    constants = {
        "MODEL": repr(base_model(inspection.model)),
        "REVISION": repr(inspection.model.revision or "main"),
        "TEMPLATE": _lines(next(iter(chosen_template(inspection).values()), "")),
        "ROW": f"json.loads(r'''{_json(call.row(inspection))}''')",
        **({} if call.settings is None else {"SETTINGS": repr(dict(call.settings))}),
        "TOKENS": str(len(inspection.ids)),
        "EXPECTED": _expected(inspection),
    }
    return "\n".join(
        [
            comment(*_about(inspection)) + call.script.imports,
            *(f"{name} = {value}" for name, value in constants.items()),
            "",
            _LOAD + _new_tokens(inspection) + call.script.body + _CHECK,
        ]
    )


def _about(inspection: Inspection) -> list[str]:
    verdict, facts = verdict_on(inspection), FACTS[inspection.strategy]
    is_right = inspection.labelled.trained == truth_of(inspection).trained
    changes = inspection.example.conversation.changes
    return [
        f"Needs {facts.trainer.split()[0].lower()} (tried with {facts.version}). The assert "
        + ("holds: exactly the expected tokens are trained." if is_right else f"fails: {verdict.sentence}."),
        *(["The row is given as the chat template takes it; it was changed for that."] if changes else []),
    ]


def _expected(inspection: Inspection) -> str:
    """The runs of tokens that the assistant wrote, each with its text: what should be trained."""
    ids, decode = inspection.ids, inspection.example.tokenizer.decode
    runs = ranges_of(i for i, bit in enumerate(truth_of(inspection).trained) if bit)
    return "".join(["[\n", *(f"    {(start, end, decode(ids[start:end]))!r},\n" for start, end in runs), "]"])


def _new_tokens(inspection: Inspection) -> str:
    tokens = dict(inspection.model.changed_tokens)
    more = tokens.pop(ADDITIONAL, None)
    lines = [f"tokenizer.add_special_tokens({tokens!r})\n"] if tokens else []
    return "".join([*lines, *([f"tokenizer.add_tokens({list(more)!r}, special_tokens=True)\n"] if more else [])])


def _lines(text: str) -> str:
    """A text as a Python literal with a line a line; None for none."""
    return "".join(["(\n", *(f"    {line!r}\n" for line in text.splitlines(keepends=True)), ")"]) if text else "None"


def _json(row: Mapping[str, Any]) -> str:
    """JSON that a raw literal can hold; what is not printable is written by its code."""
    text = json.dumps(row, indent=1, ensure_ascii=False).replace("'''", r"\u0027\u0027\u0027")
    return _HIDDEN.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)


def _messages(inspection: Inspection) -> dict[str, Any]:
    return _row(inspection, messages=list(inspection.example.conversation.messages))


def _prompt_and_completion(inspection: Inspection) -> dict[str, Any]:
    conversation = inspection.example.conversation
    at = conversation.assistant_indices()[-1]
    return _row(inspection, prompt=list(conversation.messages[:at]), completion=list(conversation.messages[at:]))


def _row(inspection: Inspection, **messages: Any) -> dict[str, Any]:
    """A row as TRL reads it; the template gets documents as it gets its keywords."""
    conversation = inspection.example.conversation
    documents = {} if conversation.documents is None else {"documents": list(conversation.documents)}
    tools = {} if conversation.tools is None else {"tools": list(conversation.tools)}
    keywords = {**conversation.keywords, **documents}
    return {**messages, **tools, **({"chat_template_kwargs": keywords} if keywords else {})}


_CALLS: Mapping[str, _Call] = {
    "generation_tags": _Call(_TRANSFORMERS, _messages),
    "full": _Call(_TRL, _messages, {}),
    "trl_assistant_only": _Call(_TRL, _messages, {"assistant_only_loss": True}),
    "trl_completion_only": _Call(_TRL, _prompt_and_completion, {}),
}
