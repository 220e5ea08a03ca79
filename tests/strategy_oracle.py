"""Our mask strategies against the projects whose masks they reproduce.

`python -m tests.strategy_oracle` prints one line a strategy and model, and exits with 1 on any mismatch.
transformers and trl run here, and what tests/oracles/trainer_code.py takes out of wheels. What the others labelled
was recorded from their own code, on the conversations of tests/support/corpus.py, as token ranges in
tests/data/strategy_vectors.json; none of their code is here.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from inspector.conversation import Conversation
from inspector.errors import InspectorError
from inspector.inspection import make_example
from inspector.model.model import Model
from inspector.strategies import Example
from inspector.strategies.base import ranges_of
from tests import oracle
from tests.oracles import strategy_peers, trainer_code
from tests.oracles.strategy_peers import Outcome, differs, ours, transformers_mask
from tests.support import models
from tests.support.corpus import CORPUS

MODELS: Mapping[str, str] = {
    "qwen3": "trl/qwen3",
    "qwen2_5": "trl/qwen2_5",
    "llama3_1": "trl/llama3",
    "llama3_2": "trl/llama3_2",
    "gemma3": "trl/gemma3",
}
"""Real tokenizer -> the stored template it is used with: its own, but for qwen3, whose own has no twin in trl."""

GENERATED = 60
"""Conversations made up for each model, beside the corpus."""

VECTORS = Path(__file__).parent / "data" / "strategy_vectors.json"

_PIECES = [
    "Hi", "\n", "\n\n", " ", "\t", "the river", "Danube", "?", "!", ".", "assistant", "user", "é", "日本", "👩‍🚀",
    "<think>", "</think>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "1", "\\", "{a}", "(b", "\r\n", "😀",
    "<|im_start|>assistant\n", "[[dummy_message]]", "%%%%", "Answer",
]  # fmt: skip


def made_up(seed: int) -> list[dict[str, Any]]:
    """A conversation of odd pieces; the same for the same seed."""
    dice = random.Random(seed)

    def message(role: str) -> dict[str, Any]:
        count = 0 if dice.random() < 0.1 else dice.randint(1, 6)
        return {"role": role, "content": "".join(dice.choice(_PIECES) for _ in range(count))}

    chat = [message("system")] if dice.random() < 0.3 else []
    for _ in range(dice.randint(1, 3)):
        chat += [message("user"), message("assistant")]
    if dice.random() < 0.2:
        chat.append(message(dice.choice(["user", "assistant"])))
    return chat


@lru_cache(maxsize=16)
def real_model(name: str, template: str | None = None) -> Model:
    """A real tokenizer with a stored template, by default that of MODELS. Raises NotFetchedError."""
    source = oracle.stored_templates().get(template or MODELS[name], template)
    return models.model_of(oracle.load_tokenizer(name), str(source), name)


@lru_cache(maxsize=16)
def examples(name: str, template: str | None = None) -> dict[str, Example]:
    """Title -> example, of all conversations that the template renders: the corpus, and the made-up ones."""
    model = real_model(name, template)
    found = {}
    chats = {**CORPUS, **{f"made up {seed}": made_up(seed) for seed in range(GENERATED)}}
    for title, chat in chats.items():
        try:
            found[title] = make_example(model, Conversation.parse(chat), model.template)
        except InspectorError:
            continue
    return found


# --- recorded labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What another project trains. `rows`: title -> what it does with the row, as tests/record_vectors.py writes it."""

    model: str
    strategy: str
    options: dict[str, Any]
    rows: dict[str, str] = field(repr=False)


@lru_cache(maxsize=1)
def recorded() -> list[Recorded]:
    """All recorded labels."""
    cases = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
    return [
        Recorded(
            model=case["model"],
            strategy=case["strategy"],
            options=case["options"],
            rows=case["rows"],
        )
        for case in cases
    ]


def written(outcome: Outcome, with_ids: bool) -> str:
    """An outcome as it is recorded: `30: 4-7 9-12`, 30 tokens of which 4 to 6 and 9 to 11 are trained, or `refused`.

    `with_ids`: after the number stands what tells these ids from others.
    """
    if outcome.ids is None or outcome.bits is None:
        return "refused"
    spans = ranges_of(index for index, bit in enumerate(outcome.bits) if bit)
    name = hashlib.sha256(str(outcome.ids).encode()).hexdigest()[:8]
    count = f"{len(outcome.ids)} {name}" if with_ids else f"{len(outcome.ids)}"
    return f"{count}:" + "".join(f" {start}-{end}" for start, end in spans)


def recorded_mismatches(case: Recorded) -> list[str]:
    """Titles over which our labels differ from the recorded ones."""
    wrong = []
    for title, text in case.rows.items():
        said = ours(examples(case.model)[title], case.strategy, **case.options)
        if _read(written(said, with_ids=" " in text.partition(":")[0])) != _read(text):
            wrong.append(title)
    return wrong


def _read(text: str) -> tuple[str, set[int]]:
    """The number of tokens and what tells the ids, and the tokens that are trained, but token 0."""
    row, _, spans = text.partition(":")
    ends = (span.split("-") for span in spans.split())
    return row, {index for start, end in ends for index in range(int(start), int(end))} - {0}


# --- the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One strategy on one model. `refused`: cases both sides refuse; `mismatches`: titles over which they differ."""

    strategy: str
    model: str
    cases: int
    refused: int
    mismatches: list[str]


def compare(strategy: str, name: str) -> Report:
    """One strategy that runs here, on one model."""
    cases = list(LIVE[strategy](name))
    wrong = [title for title, one, other in cases if differs(one, other)]
    refused = sum(one.bits is None and other.bits is None for _, one, other in cases)
    return Report(strategy=strategy, model=name, cases=len(cases), refused=refused, mismatches=wrong)


def _tags_cases(name: str) -> Iterator[tuple[str, Outcome, Outcome]]:
    template = f"{MODELS[name]}_training" if name != "llama3_2" else "trl/llama3_training"
    for title, example in examples(name, template).items():
        yield title, ours(example, "generation_tags"), transformers_mask(example, example.template)


def _assistant_cases(name: str) -> Iterator[tuple[str, Outcome, Outcome]]:
    for title, example in examples(name).items():
        yield title, ours(example, "trl_assistant_only"), strategy_peers.trl_assistant_only(example)


def _answered(name: str) -> Iterator[tuple[str, Example]]:
    """Examples with an assistant message: without one there is no row of a prompt and its completion."""
    return ((title, e) for title, e in examples(name).items() if e.conversation.assistant_indices())


def _completion_cases(name: str) -> Iterator[tuple[str, Outcome, Outcome]]:
    for title, example in _answered(name):
        yield title, ours(example, "trl_completion_only"), strategy_peers.trl_completion_only(example)


def _dpo_cases(name: str) -> Iterator[tuple[str, Outcome, Outcome]]:
    for title, example in _answered(name):
        for rejected in ("No.", "\nNo", "\n\n"):
            yield title, ours(example, "dpo_boundary", rejected=rejected), strategy_peers.trl_dpo(example, rejected)


def _cases_of(
    strategy: str, theirs: Callable[..., Outcome], *choices: Mapping[str, Any], with_tools: bool = True
) -> Callable[[str], Iterator[tuple[str, Outcome, Outcome]]]:
    """The cases of a strategy whose options are those of the function that runs its original.

    `with_tools`: whether ours takes rows with tools; where it refuses them as not reproduced, they are left out.
    """

    def cases(name: str) -> Iterator[tuple[str, Outcome, Outcome]]:
        for options in choices or ({},):
            taken = {title: e for title, e in examples(name).items() if with_tools or not e.conversation.tools}
            for title, example in taken.items():
                yield f"{title} {options or ''}", ours(example, strategy, **options), theirs(example, **options)

    return cases


_CHATML = ("<|im_start|>user\n", "<|im_start|>assistant\n")
_LLAMA = ("<|start_header_id|>user<|end_header_id|>\n\n", "<|start_header_id|>assistant<|end_header_id|>\n\n")
_PARTS = {
    "qwen3": _CHATML,
    "qwen2_5": _CHATML,
    "llama3_1": _LLAMA,
    "llama3_2": _LLAMA,
    "gemma3": ("<start_of_turn>user\n", "<start_of_turn>model\n"),
}


def _unsloth_cases(name: str) -> Iterator[tuple[str, Outcome, Outcome]]:
    parts = dict(zip(("instruction_part", "response_part"), _PARTS[name], strict=True))
    choices = [{**parts, "mask_out_tokens": masked} for masked in ([], ["</think>"], ["The", "a", "\n", ".", "Nile"])]
    return _cases_of("responses_only", trainer_code.unsloth, *choices)(name)


LIVE: Mapping[str, Callable[[str], Iterator[tuple[str, Outcome, Outcome]]]] = {
    "generation_tags": _tags_cases,
    "trl_assistant_only": _assistant_cases,
    "trl_completion_only": _completion_cases,
    "dpo_boundary": _dpo_cases,
    "responses_only": _unsloth_cases,
    "llama_factory": _cases_of(
        "llama_factory",
        trainer_code.llama_factory,
        {},
        {"mask_history": True},
        {"cutoff_len": 25},
        {"template": "qwen3", "formatting": "openai", "enable_thinking": False},
        with_tools=False,
    ),
    "ms_swift": _cases_of(
        "ms_swift",
        trainer_code.ms_swift,
        {"template_type": "qwen3"},
        {"template_type": "qwen3", "loss_scale": "last_round"},
        {"template_type": "qwen3_thinking", "loss_scale": "last_round"},
        {"template_type": "llama3"},
        {"template_type": "chatml", "loss_scale": "all"},
        {"template_type": "gemma"},
        with_tools=False,
    ),
    "openrlhf": _cases_of("openrlhf", trainer_code.openrlhf, {}, {"multiturn": True}),
    "nemo_automodel": _cases_of(
        "nemo_automodel", trainer_code.nemo_automodel, {}, {"mask_history": True}, {"mask_generation_prompt": True}
    ),
    "verl": _cases_of("verl", trainer_code.verl, {}, {"ignore_input_ids_mismatch": True}),
}
"""Strategies whose original is installed with the tests, or runs out of its wheel."""


def reports() -> Iterator[Report]:
    """Every strategy on every model that it is compared on."""
    for strategy in LIVE:
        for name in MODELS:
            yield compare(strategy, name)
    for case in recorded():
        yield Report(
            strategy=case.strategy,
            model=case.model,
            cases=len(case.rows),
            refused=sum(text == "refused" for text in case.rows.values()),
            mismatches=recorded_mismatches(case),
        )


def main() -> int:
    """Print the table; 1 on any mismatch."""
    failures = 0
    print(f"{'strategy':26} {'model':10} {'cases':>6} {'refused':>8} {'mismatches':>11}")
    for report in reports():
        failures += len(report.mismatches)
        print(
            f"{report.strategy:26} {report.model:10} {report.cases:6} {report.refused:8} {len(report.mismatches):11}",
            *report.mismatches,
            flush=True,
        )
    print(f"{failures} mismatches")
    return 1 if failures else 0


if __name__ == "__main__":
    import logging

    logging.disable(logging.WARNING)
    sys.exit(main())
