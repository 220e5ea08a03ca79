"""Answers that end in text: generation, exports and model cards have it as a stop string."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.exports.targets import export_all
from inspector.model.model import Model
from inspector.trainers.stops import stop_strings

ASK = [{"role": "user", "content": "What is the capital of France?"}]
CHAT = [*ASK, {"role": "assistant", "content": "The capital of France is Paris."}]
TURN = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
PROMPT = "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def ending_in(mark: str) -> Model:
    """tiny-chat with a template that ends turns in `mark`."""
    return inspector.load("tiny-chat", template=TURN + mark + PROMPT)


@pytest.mark.parametrize(
    ("mark", "stops"),
    [
        ("<|im_end|>\n", []),
        ("### End\n", ["### End"]),
        ("\n\n### End ###\n", ["### End ###"]),
        ("</s>\n", ["</s>"]),
        ("\n\n", []),
        ("", []),
    ],
)
def test_text_that_ends_answers_is_a_stop_string(mark: str, stops: list[str]) -> None:
    """Not a special token, and not whitespace."""
    assert stop_strings(ending_in(mark)) == stops


def test_template_that_renders_no_sample_has_none() -> None:
    """Nothing is claimed about what was not seen."""
    assert stop_strings(inspector.load("tiny-chat", template="{{ raise_exception('no') }}")) == []


def test_call_and_answer_have_the_mark_that_both_end_in() -> None:
    """A call closes its bracket first: that is not the mark."""
    calls = "{% for c in m.tool_calls or [] %}[{{ c.function.name }}]{% endfor %}</s>\n"
    model = inspector.load("tiny-chat", template=TURN.replace("m.content", "m.content or ''") + calls + PROMPT)
    call = {"type": "function", "function": {"name": "look", "arguments": {}}}
    chat = [*CHAT, *ASK, {"role": "assistant", "content": None, "tool_calls": [call]}]
    shown = inspector.inspect(model, chat)
    ends = {shown.text[slice(*turn.stop_span)] for _, turn in shown.example.answers() if turn.stop_span}
    assert ends == {"</s>"}


def test_exports_name_the_stop_string() -> None:
    """In the comment, with what to pass."""
    shown = inspector.inspect(ending_in("</s>\n"), CHAT)
    made = [one for one in export_all(shown) if not one.verdict.startswith("Not possible")]
    assert made
    assert all("stop_strings=['</s>'], tokenizer=tokenizer" in " ".join(one.text.split("\n# ")) for one in made)
    plain = inspector.inspect(ending_in("<|im_end|>\n"), CHAT)
    assert not any("stop_strings" in one.text for one in export_all(plain))


def test_a_runs_answers_end_at_the_stop_string() -> None:
    """The weights go on to `<|im_end|>`; told to stop at a full stop, they do."""
    from training.spec import parse_spec
    from training.weights.answers import Question, write_answers
    from training.weights.load import load_weights

    free, told = ending_in("<|im_end|>\n"), ending_in(".\n")
    weights = load_weights(parse_spec({"model": "tiny-chat", "data": "x.jsonl", "lora": None}), free)
    prompt = free.tokenizer.apply_chat_template(ASK, tokenize=False, add_generation_prompt=True)
    asked = [Question(messages=tuple(ASK), prompt=prompt, reference=None)]
    (whole,), (stopped,) = (write_answers(weights, model, asked, 24) for model in (free, told))
    assert whole.endswith(".<|im_end|>")
    assert stopped == whole.split(".")[0] + "."


def test_model_card_passes_the_stop_string(tmp_path: Path) -> None:
    """Its code is what people copy."""
    from training.publish.card import _asking
    from training.run.folder import RunDir
    from training.spec import parse_spec

    run = RunDir(tmp_path)
    spec = parse_spec({"model": "tiny-chat", "data": "x.jsonl"})
    said: list[Any] = []
    for manifest in ({"stop_strings": ["</s>"]}, {"stop_strings": []}, {}):
        run.manifest_file.write_text(json.dumps(manifest), encoding="utf-8")
        said.append("\n".join(_asking(run, spec, False)))
    assert "stop_strings=['</s>'], tokenizer=tokenizer)" in said[0]
    assert "stop_strings" not in said[1] + said[2]
