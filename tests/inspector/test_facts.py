"""Facts that others published or that were measured on real tokenizers, pinned."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.findings.codes import Code
from inspector.inspection import Inspection
from inspector.model.model import Model
from tests import oracle
from tests.support import models
from tests.support.corpus import CORPUS

ASSISTANT_HEADER = [128006, 78191, 128007, 271]
LLAMA3 = "trl/llama3"
ALWAYS_OPEN = (
    "{% for message in messages %}"
    "{{ (bos_token if loop.first else '') + '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
"""As the first Llama 3 templates were: the assistant's header is written whether it was asked for or not."""


@pytest.fixture
def real(real_model_dir: Callable[[str], Path]) -> Callable[..., Model]:
    """A function from the name of a real tokenizer, and perhaps a template's source, to the model."""

    def load(name: str, template: str | None = None) -> Model:
        return inspector.load(str(real_model_dir(name)), template=template)

    return load


def codes(inspection: Inspection) -> list[Code]:
    """The codes of its findings."""
    return [finding.code for finding in inspection.findings]


@pytest.mark.parametrize("name", ["llama3_1", "llama3_2"])
def test_llama_3_assistant_header_is_four_ids(real: Callable[..., Model], name: str) -> None:
    """128006, 78191, 128007, 271, and 128009 ends the turn."""
    inspection = inspector.inspect(real(name, oracle.stored_templates()[LLAMA3]), CORPUS["one turn"])
    start = inspection.ids.index(78191) - 1
    assert inspection.ids[start : start + 4] == ASSISTANT_HEADER
    assert inspection.trained[start : start + 4] == [0, 0, 0, 0]
    assert (inspection.ids[-1], inspection.trained[-1]) == (128009, 1)


def test_qwen2_header_and_end_are_these_ids(real: Callable[..., Model]) -> None:
    """Prefix 151644, 77091, 198; suffix 151645, 198, of which only the stop token is trained."""
    inspection = inspector.inspect(real("qwen2_5"), CORPUS["one turn"])
    start = inspection.ids.index(77091) - 1
    assert inspection.ids[start : start + 3] == [151644, 77091, 198]
    assert inspection.ids[-2:] == [151645, 198]
    assert inspection.trained[-2:] == [1, 0]


def test_line_break_in_front_of_a_qwen2_answer_changes_the_header_s_id(real: Callable[..., Model]) -> None:
    """198 becomes 271: a search for the header finds nothing, we flag a straddler and train it."""
    inspection = inspector.inspect(real("qwen2_5"), CORPUS["answer starts with a line break"])
    start = inspection.ids.index(77091)
    assert inspection.ids[start - 1 : start + 2] == [151644, 77091, 271]
    assert inspection.straddlers == [start + 1]
    assert inspection.trained[start + 1] == 1
    assert codes(inspection) == [Code.BOUNDARY_MERGE]
    finding = inspection.findings[0]
    assert finding.token_span == (start + 1, start + 2)
    assert "alone they are [198] and [198]" in finding.detail


def test_line_break_in_front_of_a_qwen2_question_is_a_note(real: Callable[..., Model]) -> None:
    """The user's text is not trained, and a trainer that searches for the user's header would not find it."""
    inspection = inspector.inspect(real("qwen2_5"), CORPUS["question starts with a line break"])
    assert models.trained_text(inspection) == "The Danube.<|im_end|>The Nile.<|im_end|>"
    assert set(codes(inspection)) == {Code.BOUNDARY_MERGE}
    assert {finding.severity for finding in inspection.findings} == {"note"}


def test_question_mark_and_blank_line_are_one_token_of_llama_3(real: Callable[..., Model]) -> None:
    """The boundary merge that makes `\\n\\n### Assistant:` impossible to find by its ids."""
    tokenizer = real("llama3_1").tokenizer
    alone = tokenizer("\n\n### Assistant:", add_special_tokens=False)["input_ids"]
    inside = tokenizer("Why?\n\n### Assistant:", add_special_tokens=False)["input_ids"]
    assert alone[1:] == inside[-len(alone) + 1 :]
    assert alone[0] not in inside


def test_gemma_refuses_a_system_message(real: Callable[..., Model]) -> None:
    """Gemma 1 and 2 raise; Gemma 3 writes it into the first question."""
    gemma3 = inspector.inspect(real("gemma3"), CORPUS["system"])
    assert Code.SYSTEM_UNSUPPORTED not in codes(gemma3)
    assert models.trained_text(gemma3) == "The Danube.<end_of_turn>"
    with pytest.raises(inspector.errors.TemplateRefusedError, match="System role not supported"):
        inspector.inspect(real("gemma3", oracle.stored_templates()["trl/gemma"]), CORPUS["system"])


def test_llama_3_2_writes_the_date_into_its_system_header(real: Callable[..., Model]) -> None:
    """`date_string` pins it; without, the render depends on the clock."""
    pinned = inspector.inspect(real("llama3_2"), {"messages": CORPUS["one turn"], "date_string": "01 Jan 2020"})
    assert "Today Date: 01 Jan 2020" in pinned.text
    assert re.search(r"Today Date: \d\d \w{3} \d{4}", inspector.inspect(real("llama3_2"), CORPUS["one turn"]).text)


def test_template_that_always_opens_an_answer_is_found_out(real: Callable[..., Model]) -> None:
    """Its training rows end in a generation prompt, which is not trained."""
    inspection = inspector.inspect(real("llama3_1", ALWAYS_OPEN), CORPUS["two turns"])
    assert inspection.ids[-4:] == ASSISTANT_HEADER
    assert codes(inspection) == [Code.TRAILING_GENERATION_PROMPT, Code.PAD_IS_EOS, Code.DOUBLE_BOS]
    finding = inspection.findings[0]
    assert finding.token_span == (len(inspection.ids) - 4, len(inspection.ids))
    assert "the template writes it without being asked" in finding.detail
    assert models.trained_text(inspection) == "The Danube.<|eot_id|>The Nile.<|eot_id|>"


@pytest.mark.parametrize("name", ["llama3_1", "llama3_2", "gemma4"])
def test_these_templates_have_no_training_twin(name: str) -> None:
    """TRL raises for them; we need none."""
    assert f"trl/{name}" in oracle.stored_templates()
    assert f"trl/{name}_training" not in oracle.stored_templates()


# --- the log of the first seed: ids that its trainer printed with "example had no assistant response in it!"

LOG: list[list[int]] = json.loads(
    (Path(__file__).parents[1] / "data" / "seed_log_ids.json").read_text(encoding="utf-8")
)
HEADER = re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n")


def conversation_of(text: str) -> list[dict[str, Any]]:
    """The messages of a rendered Llama 3 conversation, split at its headers; a header without an answer is none."""
    pieces = HEADER.split(text.removeprefix("<|begin_of_text|>"))
    turns = zip(pieces[1::2], pieces[2::2], strict=True)
    return [{"role": role, "content": text.removesuffix("<|eot_id|>")} for role, text in turns if text]


@pytest.fixture(params=range(len(LOG)))
def logged(request: pytest.FixtureRequest, real: Callable[..., Model]) -> tuple[list[int], list[dict[str, Any]], Model]:
    """One logged example: its ids, the conversation it was made of, and the model that makes the same ids of it."""
    model = real("llama3_1", ALWAYS_OPEN)
    ids = LOG[request.param]
    return ids, conversation_of(model.tokenizer.decode(ids, clean_up_tokenization_spaces=False)), model


def test_logged_ids_are_what_we_inspect(logged: tuple[list[int], list[dict[str, Any]], Model]) -> None:
    """Decoded, split at its headers, and rendered again, the log's example has the log's ids."""
    ids, chat, model = logged
    assert [message["role"] for message in chat] == ["system", "user", "assistant"]
    assert inspector.inspect(model, chat).ids == ids


def test_logged_example_ends_in_a_generation_prompt(logged: tuple[list[int], list[dict[str, Any]], Model]) -> None:
    """That is what its trainer stumbled over, and our one warning."""
    ids, chat, model = logged
    inspection = inspector.inspect(model, chat)
    assert ids[-4:] == ASSISTANT_HEADER
    warnings = [finding for finding in inspection.findings if finding.severity != "note"]
    assert [finding.code for finding in warnings] == [Code.TRAILING_GENERATION_PROMPT]
    assert warnings[0].token_span == (len(ids) - 4, len(ids))


def test_logged_example_has_an_assistant_response_in_it(logged: tuple[list[int], list[dict[str, Any]], Model]) -> None:
    """We train it, to the token: everything after the first assistant header, up to and including <|eot_id|>."""
    ids, chat, model = logged
    inspection = inspector.inspect(model, chat)
    start = next(i for i in range(len(ids)) if ids[i : i + 4] == ASSISTANT_HEADER) + 4
    end = ids.index(128009, start) + 1
    assert [i for i, bit in enumerate(inspection.trained) if bit] == list(range(start, end))
    assert models.trained_text(inspection) == chat[-1]["content"] + "<|eot_id|>"


def test_logged_example_without_the_prompt_is_clean(logged: tuple[list[int], list[dict[str, Any]], Model]) -> None:
    """On a template that writes the prompt only when asked, the same conversation has no warning left."""
    ids, chat, model = logged
    inspection = inspector.inspect(model.with_template(oracle.stored_templates()[LLAMA3]), chat)
    assert inspection.ids == ids[:-4]
    assert [finding.code for finding in inspection.findings if finding.severity != "note"] == []
