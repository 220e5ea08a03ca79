"""The scripts of issue reports, run: the assert fails where a trainer's mask is wrong, and holds where it is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.exports.reproduction import reproduction
from inspector.inspection import Inspection

ROOT = Path(__file__).parents[3]
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
TOOL_CALL = json.loads((ROOT / "examples" / "03-tool-call.json").read_text(encoding="utf-8"))
ODD = [
    {"role": "user", "content": "'''\\n\"\"\" \u200b \u202e é 😀 \U000e0041 \\u0041 {{ x }}\r\n\t"},
    {"role": "assistant", "content": "It ends in a quote: '"},
]
OPEN, TEXT = "<|im_start|>{{ m.role }}\n", "{{ m.content }}<|im_end|>"
TAGGED = f"{{% generation %}}{TEXT}{{% endgeneration %}}"
PROMPT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
PLAIN = f"{{% for m in messages %}}{OPEN}{TEXT}{{% endfor %}}{PROMPT}"
ROLES = (
    "{{% for m in messages %}}{{% if m.role == 'assistant' %}}{answer}{{% else %}}{other}{{% endif %}}{{% endfor %}}"
    "{{% if add_generation_prompt %}}<|im_start|>assistant\n{{% endif %}}"
)
RIGHT = ROLES.format(answer=OPEN + TAGGED, other=OPEN + TEXT) + "{# ''' \"\"\" \\ #}\r\n"
HEADER_TOO = ROLES.format(answer=f"{{% generation %}}{OPEN}{TEXT}{{% endgeneration %}}", other=OPEN + TEXT)
USER_TOO = f"{{% for m in messages %}}{OPEN}{TAGGED}{{% endfor %}}{PROMPT}"
KEYWORDS = {"messages": CHAT, "chat_template_kwargs": {"enable_thinking": False}, "documents": [{"title": "a"}]}
CASES: dict[str, tuple[str, Any, str | None, bool]] = {
    "tags": ("generation_tags", CHAT, None, True),
    "tags-tools": ("generation_tags", TOOL_CALL, None, True),
    "tags-odd": ("generation_tags", ODD, RIGHT, True),
    "tags-header": ("generation_tags", ODD, HEADER_TOO, False),
    "tags-user": ("generation_tags", CHAT, USER_TOO, False),
    "tags-none": ("generation_tags", CHAT, PLAIN, False),
    "tags-keywords": ("generation_tags", KEYWORDS, None, True),
    "trl-tools": ("trl_assistant_only", TOOL_CALL, None, True),
    "trl-odd": ("trl_assistant_only", ODD, RIGHT, True),
    "trl-header": ("trl_assistant_only", CHAT, HEADER_TOO, False),
    "trl-keywords": ("trl_assistant_only", KEYWORDS, None, True),
    "full": ("full", TOOL_CALL, None, False),
    "completion": ("trl_completion_only", ODD, PLAIN, True),
    "completion-newline": ("trl_completion_only", CHAT, None, False),
    "completion-turns": ("trl_completion_only", CHAT + CHAT, PLAIN, False),
}  # fmt: skip
RUNNER = """
import json, runpy, sys
for name in sys.argv[1:]:
    try:
        runpy.run_path(name)
        print("OUTCOME", json.dumps([name, True, ""]))
    except AssertionError as error:
        print("OUTCOME", json.dumps([name, False, str(error)]))
"""


def inspected(strategy: str, conversation: Any = None, template: str | None = None, **options: Any) -> Inspection:
    """On the embedded model."""
    return inspector.inspect(inspector.load("tiny-chat", template=template), conversation or CHAT, strategy, **options)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in a folder where the embedded model is, as in a checkout."""
    (folder / "models").symlink_to(ROOT / "models")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bool, str]]:
    """Whether the assert of each case's script holds, and what it says; all run in one process of their own."""
    folder = tmp_path_factory.mktemp("scripts")
    for name, (strategy, conversation, template, _) in CASES.items():
        script = reproduction(inspected(strategy, conversation, template)).script
        (folder / f"{name}.py").write_text(script, encoding="utf-8")
    done = run(folder, "-c", RUNNER, *(f"{name}.py" for name in CASES))
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line[8:]) for line in done.stdout.splitlines() if line.startswith("OUTCOME ")]
    return {name.removesuffix(".py"): (holds, said) for name, holds, said in found}


@pytest.mark.parametrize("case", CASES)
def test_the_assert_holds_where_the_mask_is_right(outcomes: dict[str, tuple[bool, str]], case: str) -> None:
    """And fails where it is wrong, with the very tokens that the inspector calls wrong."""
    strategy, conversation, template, is_right = CASES[case]
    holds, said = outcomes[case]
    assert holds is is_right
    shown, exact = inspected(strategy, conversation, template), inspected("traced", conversation, template)
    assert shown.ids == exact.ids
    ours = [i for i, (one, other) in enumerate(zip(shown.trained, exact.trained, strict=True)) if one != other]
    theirs = [] if holds else [i for i, *_ in eval(said.split("): ")[1])]
    assert theirs == ours


def test_a_wrong_mask_ends_the_script_with_an_assertion(tmp_path: Path) -> None:
    """As an issue's reader runs it."""
    script = reproduction(inspected("generation_tags", CHAT, HEADER_TOO)).script
    (tmp_path / "reproduce.py").write_text(script, encoding="utf-8")
    done = run(tmp_path, "reproduce.py")
    assert done.returncode == 1
    assert "AssertionError: (token, text, whether it is trained): [(5, '<|im_start|>', True)" in done.stderr


def test_other_tokens_are_no_wrong_mask(tmp_path: Path) -> None:
    """Another version of a template or a tokenizer is said as such."""
    script = reproduction(inspected("generation_tags")).script.replace('"Hello!"', '"Bye!"')
    (tmp_path / "reproduce.py").write_text(script, encoding="utf-8")
    done = run(tmp_path, "reproduce.py")
    assert done.returncode == 1
    assert done.stderr.startswith("These are other tokens than those of the report: ")


def test_special_tokens_that_were_set_are_set_in_the_script(tmp_path: Path) -> None:
    """The vocabulary grows as it does in the inspector."""
    tokens = {"pad_token": "<|pad|>", "additional_special_tokens": ["Hel"]}
    model = inspector.load("tiny-chat").with_special_tokens(tokens)
    (tmp_path / "reproduce.py").write_text(reproduction(inspector.inspect(model, CHAT, "generation_tags")).script)
    done = run(tmp_path, "reproduce.py")
    assert (done.returncode, done.stdout) == (0, "Exactly the expected tokens are trained.\n"), done.stderr


@pytest.mark.parametrize(
    ("strategy", "code"),
    [("responses_only", "Unsloth"), ("content_diff", "axolotl"), ("incremental_delta", "renderers")],
)
def test_no_script_restates_a_trainer(strategy: str, code: str) -> None:
    """Where its own code is not transformers' or TRL's, the package is named that a script would need."""
    options = {"instruction_part": "<|im_start|>user\n", "response_part": "<|im_start|>assistant\n"}
    found = reproduction(inspected(strategy, **(options if strategy == "responses_only" else {})))
    assert found.script == ""
    assert found.why.startswith(f"it has to call {code}")


@pytest.mark.parametrize("modifiers", [{"max_length": 5}, {"keep": "last_response"}])
def test_no_script_where_the_answer_was_changed(modifiers: dict[str, Any]) -> None:
    """The trainer's call would say something else."""
    model = inspector.load("tiny-chat")
    found = reproduction(inspector.inspect(model, CHAT, "trl_assistant_only", modifiers))
    assert (found.script, found.why) == ("", "it is written for whole rows and the trainer's defaults only")
    assert reproduction(inspected("generation_tags", max_length=5)).why == found.why


def test_what_the_assistant_wrote_needs_no_script() -> None:
    """It is no trainer's mask."""
    assert reproduction(inspected("traced")).to_dict() == {"script": "", "why": ""}
