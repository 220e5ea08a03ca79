"""Traced renders equal transformers', their origins are right, and their turns are those of TRL's patched templates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.conversation import Conversation
from inspector.rendering import sandbox
from inspector.rendering.render import render
from tests import oracle

TEMPLATES = oracle.stored_templates()
CONVERSATIONS = oracle.conversations()
AWKWARD = [
    "answer starts with a line break",
    "answer ends in whitespace",
    "question starts with a line break",
    "answer holds stop tokens",
    "emoji families",
    "combining marks",
    "tool round",
    "think in history",
]


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_conversation_renders_as_transformers_renders_it(name: str) -> None:
    """Same text, same generation spans, same refusals; every character of the right origin, only numbers of none."""
    cases = {title: oracle.compare(TEMPLATES[name], c, oracle.SPECIAL_TOKENS) for title, c in CONVERSATIONS.items()}
    assert {title: case.problems for title, case in cases.items() if case.problems} == {}
    rendered = [case for case in cases.values() if case.rendered is not None]
    assert len(rendered) > len(cases) / 2 or name in oracle.MOSTLY_REFUSES
    assert sum(case.found for case in rendered) > 0.98 * sum(case.characters for case in rendered)


@pytest.mark.parametrize("name", oracle.REAL_MODELS)
def test_real_models_render_and_tokenize_as_apply_chat_template(
    real_model_dir: Callable[[str], Path], name: str
) -> None:
    """The whole corpus through the model's own template, awkward seams through those of its family: text and ids."""
    real_model_dir(name)
    tokenizer = oracle.load_tokenizer(name)
    own = tokenizer.chat_template
    problems = {}
    for title, conversation in CONVERSATIONS.items():
        case = oracle.compare(own, conversation, tokenizer.special_tokens_map)
        problems[title] = [*case.problems, *oracle.compare_ids(own, conversation, tokenizer)]
    for template in (template for template in TEMPLATES if oracle.tokenizer_name(template) == name):
        for title in AWKWARD:
            found = oracle.compare_ids(TEMPLATES[template], CONVERSATIONS[title], tokenizer)
            problems[f"{template} · {title}"] = found
    assert {title: found for title, found in problems.items() if found} == {}


@pytest.mark.parametrize("name", oracle.twin_names())
def test_turns_are_those_of_the_training_twin(name: str) -> None:
    """What we train in the original template is what TRL's people tagged by hand, but for the named reasons."""
    report = oracle.compare_twin(name)
    assert report.unexplained == ()
    assert report.used == set(oracle.TWIN_EXCEPTIONS.get(name, ())), "an exception is no longer needed"
    assert report.kept > len(CONVERSATIONS) / 2 or name in oracle.MOSTLY_REFUSES


def test_exceptions_are_for_templates_that_exist() -> None:
    """A renamed template must not keep its excuse."""
    assert set(oracle.TWIN_EXCEPTIONS) <= set(oracle.twin_names())
    assert set(oracle.MOSTLY_REFUSES) <= set(TEMPLATES)
    assert len(oracle.twin_names()) == 31
    prompt_text = [name for name, reasons in oracle.TWIN_EXCEPTIONS.items() if oracle.PROMPT_TEXT in reasons]
    assert len(prompt_text) == 13


def test_a_wrong_origin_would_be_noticed() -> None:
    """The oracle itself can fail: an origin one character off is reported."""
    conversation = Conversation.parse([{"role": "user", "content": "abcdef"}])
    source = "{% for m in messages %}{{ m.content }}{% endfor %}"
    rendered = render(source, conversation, {})
    assert list(oracle.wrong_origins(source, conversation, rendered)) == []
    broken = type(rendered)(
        text="bcdefa", runs=rendered.runs, generation_spans=(), headers=(), prompt_start=None
    )  # fmt: skip
    assert list(oracle.wrong_origins(source, conversation, broken)) == [
        "'bcdefa' is said to be content[0:] of message 0"
    ]


@pytest.mark.parametrize("name", ["trl/qwen3", "trl/llama3_1", "trl/gemma4", "trl/gptoss", "trl/glm4moe"])
@pytest.mark.parametrize("title", ["tool round", "emoji families", "reasoning in history", "generation prompt"])
def test_sandbox_gives_what_a_render_in_this_process_gives(name: str, title: str) -> None:
    """Text, origins, spans and headers survive the way through the child process."""
    conversation = CONVERSATIONS[title]
    ours = render(TEMPLATES[name], conversation, oracle.SPECIAL_TOKENS)
    assert sandbox.render(TEMPLATES[name], conversation, oracle.SPECIAL_TOKENS) == ours
