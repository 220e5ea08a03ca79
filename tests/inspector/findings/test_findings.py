"""Each finding fires on a minimal example, points at the right tokens, and is silent on a clean one."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest

import inspector
from inspector.errors import InspectorError, TemplateFailedError
from inspector.findings.codes import Code, Finding, Severity
from inspector.gallery import find_entry
from inspector.inspection import Inspection
from inspector.strategies import Labelled, Reason
from tests import oracle
from tests.support import models
from tests.support.corpus import CORPUS

CLEAN = CORPUS["system, two turns"]
TURN = "{% for m in messages %}<|a|>{{ m.role }}:{{ m.content }}"
PROMPT = "{% if add_generation_prompt %}<|a|>assistant:{% endif %}"


def chatml(chat: Any, **options: Any) -> Inspection:
    """Inspect with the ChatML model made in the tests."""
    return inspector.inspect(models.model("chatml"), chat, **options)


def template(source: str, chat: Any, special: tuple[str, ...] = ("<|a|>", "<|b|>"), **options: Any) -> Inspection:
    """Inspect with a template of this test and one token a byte."""
    return inspector.inspect(models.model_of(oracle.byte_tokenizer(list(special)), source), chat, **options)


def stored(name: str, chat: Any, **options: Any) -> Inspection:
    """Inspect with a stored template and one token a byte."""
    source = oracle.stored_templates()[name]
    return inspector.inspect(models.model_of(oracle.tokenizer_for_source(source), source), chat, **options)


def slow(chat: Any) -> Inspection:
    """Inspect with a tokenizer that reports no offsets."""
    from transformers import ByT5Tokenizer

    tokenizer = ByT5Tokenizer(additional_special_tokens=["<|a|>", "<|b|>"], extra_ids=0)
    return inspector.inspect(models.model_of(tokenizer, TURN + "<|b|>{% endfor %}" + PROMPT), chat)


def chatml_markers() -> dict[str, list[int]]:
    """The ids of ChatML's header and stop token, tokenized alone: how a trainer is usually given them."""
    tokenizer = models.model("chatml").tokenizer
    return {
        "prefix_ids": tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False),
        "suffix_ids": tokenizer.encode("<|im_end|>", add_special_tokens=False),
    }


def long_suffix() -> dict[str, list[int]]:
    """The first seed's mistake: the next header in the suffix."""
    markers = chatml_markers()
    return markers | {"suffix_ids": [*markers["suffix_ids"], *markers["prefix_ids"]]}


def with_special(**named: str) -> Inspection:
    """One turn that ends in <|b|>, with a byte tokenizer of these named special tokens."""
    tokenizer = oracle.byte_tokenizer(["<|a|>", "<|b|>", "<|c|>"], **named)
    return inspector.inspect(models.model_of(tokenizer, TURN + "<|b|>{% endfor %}" + PROMPT), CORPUS["one turn"])


def with_bos() -> Inspection:
    """One turn behind a bos token, with a tokenizer that also adds one."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = oracle.byte_tokenizer(["<|a|>", "<|b|>"], bos_token="<|a|>")
    bos = ("<|a|>", tokenizer.convert_tokens_to_ids("<|a|>"))
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|a|> $A", special_tokens=[bos])
    source = "{{ bos_token }}" + TURN.replace("<|a|>", "[") + "<|b|>{% endfor %}" + PROMPT.replace("<|a|>", "[")
    return inspector.inspect(models.model_of(tokenizer, source), CORPUS["one turn"])


def shown(name: str) -> Inspection:
    """An example of the gallery."""
    return find_entry(name).setup.inspect()


def shown_example(name: str) -> Inspection:
    """What the example of a code shows."""
    return find_entry(name).setup.inspect()


FIRES: dict[Code, tuple[Callable[[], Inspection], Severity, int | None, str]] = {
    Code.BOUNDARY_MERGE: (
        lambda: chatml(CORPUS["answer starts with a line break"]),
        Severity.WARNING, 1, "'\\n\\n'",
    ),
    Code.OFFICIAL_ENCODER_DIFFERS: (
        lambda: inspector.inspect(
            inspector.load("bytes-tekken"), [CLEAN[1], {"role": "assistant", "content": "Yes.  "}]
        ),
        Severity.WARNING, 1, " ",
    ),
    Code.TOKENIZER_IN_DOUBT: (
        lambda: inspector.inspect(inspector.load("bytes-llama"), CORPUS["one turn"]), Severity.WARNING, None, "'\\n",
    ),
    Code.ID_WITHOUT_EMBEDDING: (
        lambda: inspector.inspect(inspector.load("bytes-llama"), CORPUS["one turn"]), Severity.ERROR, None, "<|bos|>",
    ),
    Code.NO_TRAINED_TOKENS: (lambda: chatml(CORPUS["question only"]), Severity.ERROR, None, ""),
    Code.STOP_TOKEN_NOT_TRAINED: (
        lambda: template(TURN + "\n{% endfor %}" + PROMPT, CORPUS["one turn"]),
        Severity.WARNING, 1, "'\\n'",
    ),
    Code.FOREIGN_TEXT_IN_LOSS: (lambda: chatml(CORPUS["one turn"], turns="every_token"), Severity.ERROR, 0, "Which"),
    Code.CONTENT_LOST: (
        lambda: template(TURN.replace("m.content", "m.content[:5]") + "<|b|>{% endfor %}" + PROMPT, CORPUS["one turn"]),
        Severity.WARNING, 0, "<|a|>",
    ),
    Code.TRAILING_GENERATION_PROMPT: (
        lambda: chatml(CORPUS["generation prompt after an answer"]),
        Severity.WARNING, None, "<|im_start|>assistant\n",
    ),
    Code.SYSTEM_UNSUPPORTED: (
        lambda: template(
            "{% for m in messages if m.role != 'system' %}<|a|>{{ m.role }}:{{ m.content }}<|b|>{% endfor %}" + PROMPT,
            CORPUS["system"],
        ),
        Severity.ERROR, 0, "",
    ),
    Code.UNREACHABLE_FIRST_TOKEN: (
        lambda: stored("trl/qwen3_5_think", CORPUS["two turns"]),
        Severity.WARNING, 1, "<|im_start|>",
    ),
    Code.HEADER_ASSUMED: (
        lambda: chatml([{**message, f"step_{i}": 1} for i in range(129) for message in CORPUS["one turn"]]),
        Severity.NOTE, 257, "<|im_start|>",
    ),
    Code.SLOW_TOKENIZER: (lambda: slow(CORPUS["one turn"]), Severity.NOTE, None, ""),
    Code.MARKER_NOT_FOUND: (
        lambda: chatml(
            CORPUS["answer starts with a line break"], strategy="home_llm", **chatml_markers()
        ),
        Severity.ERROR, 1, "'\\n\\n'",
    ),
    Code.SUFFIX_INCLUDES_NEXT_HEADER: (
        lambda: chatml(CORPUS["one turn"], strategy="home_llm", **long_suffix()), Severity.ERROR, None, "",
    ),
    Code.PROMPT_TEXT_IN_LOSS: (
        lambda: chatml(CORPUS["one turn"], strategy="full"), Severity.WARNING, 1, "<|im_start|>assistant\n",
    ),
    Code.ONLY_STOP_TRAINED: (lambda: chatml(CORPUS["empty answer"]), Severity.WARNING, 1, "<|im_end|>"),
    Code.BOILERPLATE_LOSS_SHARE: (
        lambda: template(
            TURN + " (and a long line that every turn ends in)<|b|>{% endfor %}" + PROMPT, CORPUS["one turn"]
        ),
        Severity.NOTE, None, " ",
    ),
    Code.TAGS_MISPLACED: (
        lambda: template(
            "{% for m in messages %}{% set turn %}<|a|>{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}"
            "{{ m.content }}<|b|>{% endgeneration %}{% else %}{{ m.content }}<|b|>{% endif %}{% endset %}{{ turn }}"
            "{% endfor %}" + PROMPT,
            CORPUS["two turns"],
        ),
        Severity.ERROR, 1, "<|a|>assistant",
    ),
    Code.TEMPLATE_NOT_PREFIX_STABLE: (
        lambda: template(
            TURN.replace("m.content", "m.content if loop.last or m.role == 'assistant' else '(earlier)'")
            + "<|b|>{% endfor %}" + PROMPT,
            CORPUS["two turns"],
        ),
        Severity.WARNING, 1, "<|a|>assistant",
    ),
    Code.CONTROL_TOKEN_IN_CONTENT: (
        lambda: chatml(CORPUS["answer holds stop tokens"]), Severity.ERROR, 1, "<|im_end|>",
    ),
    Code.STOP_TOKEN_MISMATCH: (lambda: with_special(eos_token="<|c|>"), Severity.WARNING, 1, "<|b|>"),
    Code.STOP_IS_TEXT: (
        lambda: template(TURN + "### End\n{% endfor %}" + PROMPT, CORPUS["one turn"]), Severity.WARNING, 1, "#",
    ),
    Code.TURN_READ_OFF: (lambda: shown("turn_read_off"), Severity.NOTE, 1, "<|im_start|>"),
    Code.TURN_UNKNOWN: (lambda: shown("turn_unknown"), Severity.WARNING, 1, "The"),
    Code.PAD_IS_EOS: (lambda: with_special(eos_token="<|b|>", pad_token="<|b|>"), Severity.WARNING, None, ""),
    Code.PAD_ID_ZERO: (lambda: with_special(pad_token="!"), Severity.NOTE, None, ""),
    Code.DOUBLE_BOS: (lambda: with_bos(), Severity.NOTE, None, "<|a|>"),
    Code.TRUNCATED_RESPONSE: (
        lambda: chatml(CORPUS["one turn"], modifiers={"max_length": len(chatml(CORPUS["one turn"]).ids) - 2}),
        Severity.WARNING, 1, "<|im_end|>",
    ),
    Code.TRUNCATED_AWAY: (
        lambda: chatml(CORPUS["one turn"], modifiers={"max_length": 4}), Severity.ERROR, 1, "The",
    ),
    Code.THINKING_DEFAULT: (
        lambda: stored("trl/qwen3", CORPUS["two turns"]), Severity.NOTE, 3, "<|im_start|>",
    ),
    Code.NONDETERMINISTIC_RENDER: (
        lambda: template(TURN + "<|b|>{% endfor %}{{ strftime_now('%Y') }}" + PROMPT, CORPUS["one turn"]),
        Severity.NOTE, None, datetime.now().strftime("%Y"),
    ),
    Code.ROW_CHANGED: (lambda: shown_example("row_changed"), Severity.NOTE, None, ""),
    Code.PAIR_PROMPTS_DIFFER: (lambda: shown_example("pair_prompts_differ"), Severity.WARNING, None, ""),
    Code.NO_CONTENT: (lambda: shown_example("no_content"), Severity.WARNING, 0, "<|im_start|>"),
    Code.NULL_IN_LOSS: (lambda: shown_example("null_in_loss"), Severity.NOTE, 1, "<|im_start|>"),
    Code.PYTHON_IN_TEXT: (lambda: shown_example("python_in_text"), Severity.ERROR, 1, "<|im_start|>"),
    Code.ENCODED_TWICE: (lambda: shown_example("encoded_twice"), Severity.ERROR, 1, "<|im_start|>"),
    Code.KEYWORD_NOT_READ: (lambda: shown_example("keyword_not_read"), Severity.WARNING, None, ""),
    Code.FLAGS_NOT_OBEYED: (lambda: shown_example("flags_not_obeyed"), Severity.WARNING, 1, "<|im_start|>"),
    Code.TURNS_NOT_READ: (lambda: shown_example("turns_not_read"), Severity.NOTE, None, ""),
    Code.LABELS_DIFFER: (lambda: shown_example("labels_differ"), Severity.WARNING, 1, "'\\n'"),
    Code.IMAGE_NOT_READ: (lambda: shown_example("image_not_read"), Severity.ERROR, 0, ""),
    Code.IMAGE_PLACEHOLDER_IN_LOSS: (
        lambda: shown_example("image_placeholder_in_loss"), Severity.ERROR, 0, "<|image_pad|>",
    ),
    Code.TRUNCATED_IMAGE: (lambda: shown_example("truncated_image"), Severity.ERROR, 0, "<|image_pad|>"),
    Code.IDS_DIFFER: (lambda: shown_example("ids_differ"), Severity.WARNING, 1, "o"),
}  # fmt: skip
"""Code -> (an example that triggers it, severity, message, how the text of its tokens begins; "" for no tokens)."""


def find(inspection: Inspection, code: Code) -> Finding:
    """The first finding of a code."""
    found = [finding for finding in inspection.findings if finding.code is code]
    assert found, (code, inspection.findings)
    return found[0]


def text_of(inspection: Inspection, finding: Finding) -> str:
    """The text under a finding's tokens."""
    if finding.token_span is None:
        return ""
    start, end = finding.token_span
    spans = inspection.example.tokens.char_spans
    return inspection.text[spans[start][0] : spans[end - 1][1]]


@pytest.mark.parametrize("code", FIRES)
def test_finding_fires_and_points_at_its_tokens(code: Code) -> None:
    """Severity, message and tokens are the right ones, and there is one thing to do."""
    build, severity, index, begins = FIRES[code]
    inspection = build()
    finding = find(inspection, code)
    text = text_of(inspection, finding)
    assert (finding.severity, finding.message_index) == (severity, index)
    assert (text if not begins.startswith("'") else repr(text)).startswith(begins or "")
    assert bool(text) is bool(begins)
    assert finding.detail.endswith(".")
    assert finding.remedy.endswith(".")


REFUSALS = {Code.ROLES_MUST_ALTERNATE, Code.CONTENT_UNSUPPORTED, Code.FIELD_UNSUPPORTED}
"""Codes that only `diagnose` gives."""
DATA_SET = {Code.DUPLICATE_ANSWER, Code.NEAR_EMPTY_LOSS, Code.COLUMN_NOT_READ, Code.ONE_LABEL}
"""Codes about a data set as a whole: tests/inspector/audit/test_summary.py."""


def test_every_code_is_tested() -> None:
    """A new code needs its example here."""
    assert set(FIRES) | REFUSALS | DATA_SET == set(Code)


@pytest.mark.parametrize("name", ["chatml", "llama3", "qwen3", "tiny-chat"])
def test_clean_conversation_has_no_findings(name: str) -> None:
    """Silence where nothing is wrong."""
    decided = {"messages": CLEAN, "enable_thinking": True}
    assert [f.code for f in inspector.inspect(models.model(name), decided).findings if f.code != "boundary_merge"] == []
    assert chatml(CLEAN).findings == ()


def test_findings_come_errors_first() -> None:
    """The page and the terminal show them in this order."""
    inspection = chatml(CORPUS["answer starts with a line break"], turns="every_token", stop="never")
    order = [list(Severity).index(finding.severity) for finding in inspection.findings]
    assert order == sorted(order)
    assert len(set(order)) > 1


def test_finding_as_plain_values() -> None:
    """The public form has these keys and no others."""
    finding = find(chatml(CORPUS["answer starts with a line break"]), Code.BOUNDARY_MERGE)
    assert finding.to_dict() == {
        "code": "boundary_merge",
        "severity": "warning",
        "message_index": 1,
        "token_span": list(finding.token_span or ()),
        "detail": finding.detail,
        "remedy": finding.remedy,
    }


# --- what each one says


def test_boundary_merge_shows_both_origins_and_the_ids_of_each_alone() -> None:
    """A user sees why the marker was not found."""
    inspection = chatml(CORPUS["answer starts with a line break"])
    detail = find(inspection, Code.BOUNDARY_MERGE).detail
    newline = models.model("chatml").tokenizer.convert_tokens_to_ids("Ċ")
    assert "'\\n' from template line" in detail
    assert "'\\n' from message 1 · content" in detail
    assert f"alone they are [{newline}] and [{newline}]" in detail
    assert "is trained although" in detail


def test_merge_that_is_left_out_says_so() -> None:
    """straddlers=False changes what the finding says, not that there is one."""
    inspection = chatml(CORPUS["answer starts with a line break"], straddlers=False)
    assert "is not trained, and only part of it should be" in find(inspection, Code.BOUNDARY_MERGE).detail


def test_merge_at_a_user_message_is_a_note() -> None:
    """It trains nothing wrong, but a search for the marker misses it; equal ones are counted, not repeated."""
    chat = [*CORPUS["question starts with a line break"][:2]] * 3
    inspection = chatml(chat)
    notes = [f for f in inspection.findings if f.code is Code.BOUNDARY_MERGE]
    assert [f.severity for f in notes] == [Severity.NOTE]
    assert "in 3 places" in notes[0].detail


@pytest.mark.parametrize(
    ("chat", "options", "why"),
    [
        (CORPUS["question only"], {}, r"no message has the role 'assistant' (roles: 'user')"),
        (CORPUS["one turn"], {"turns": "flagged"}, "the strategy leaves every assistant turn out"),
    ],
)
def test_nothing_trained_names_its_cause(chat: Any, options: dict[str, Any], why: str) -> None:
    """The number of tokens, and why none of them."""
    chat = [{**message, "train": False} for message in chat]
    assert why in find(chatml(chat, **options), Code.NO_TRAINED_TOKENS).detail


def test_nothing_trained_because_nothing_is_rendered() -> None:
    """A template that skips assistants is to blame itself."""
    source = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    detail = find(template(source, CORPUS["one turn"]), Code.NO_TRAINED_TOKENS).detail
    assert "the template renders none of the assistant's messages" in detail


def test_untrained_stop_token_is_pointed_at() -> None:
    """One finding a turn, at its stop token."""
    inspection = chatml(CORPUS["two turns"], stop="last")
    found = [f for f in inspection.findings if f.code is Code.STOP_TOKEN_NOT_TRAINED]
    assert [(f.message_index, text_of(inspection, f)) for f in found] == [(1, "<|im_end|>")]


def test_next_header_that_closes_the_turn_is_pointed_at() -> None:
    """GLM: the finding says which option trains it."""
    inspection = stored("trl/glm4moe", CORPUS["ends in a question"])
    finding = find(inspection, Code.STOP_TOKEN_NOT_TRAINED)
    assert text_of(inspection, finding) == "<|user|>"
    assert "closing_header" in finding.remedy


def test_foreign_text_names_whose_it_is() -> None:
    """Each stretch with its own message; the tools by their name."""
    details = [f.detail for f in chatml(CLEAN, turns="every_token").findings if f.code is Code.FOREIGN_TEXT_IN_LOSS]
    assert any("text of the system message 0: 'Answer in one word.'" in detail for detail in details)
    assert any("text of the user message 1" in detail for detail in details)
    tools = inspector.inspect(models.model("tiny-chat"), CORPUS["tool round"], turns="every_token").findings
    assert any("text of tools" in f.detail for f in tools)
    assert any("text of the tool message 3" in f.detail for f in tools)


@pytest.mark.parametrize(
    ("name", "chat", "severity", "said"),
    [
        (
            "trl/llama3",
            "answer ends in whitespace",
            Severity.NOTE,
            "Message 1 (assistant) · content: 3 white",
        ),
        ("trl/qwen3", "think in history", Severity.WARNING, "Message 1 (assistant) · content: 61 of 72 characters are"),
        (
            "trl/llama3",
            "reasoning field",
            Severity.WARNING,
            "Message 1 (assistant) · reasoning_content: all 42 cha",
        ),
    ],
)
def test_lost_text_is_counted_and_quoted(name: str, chat: str, severity: Severity, said: str) -> None:
    """Whitespace is a note, words are a warning."""
    finding = find(stored(name, CORPUS[chat]), Code.CONTENT_LOST)
    assert finding.severity is severity
    assert said in finding.detail


def test_lost_answer_is_an_error() -> None:
    """A template that ignores plain text loses what was to be learned."""
    source = "{% for m in messages %}<|a|>{{ m.role }}:{{ m.content[0].text }}<|b|>{% endfor %}" + PROMPT
    found = [f for f in template(source, CORPUS["one turn"]).findings if f.code is Code.CONTENT_LOST]
    assert [(f.message_index, f.severity) for f in found] == [(1, Severity.ERROR), (0, Severity.WARNING)]


def test_lost_identifier_is_only_a_note() -> None:
    """Templates often leave the id of a call out."""
    inspection = inspector.inspect(models.model("qwen3"), CORPUS["tool round"])
    lost = [f for f in inspection.findings if f.code is Code.CONTENT_LOST]
    assert lost
    assert {f.severity for f in lost} == {Severity.NOTE}


def test_think_tags_that_the_template_writes_anew_are_not_lost() -> None:
    """Qwen3 cuts them off the answer and writes its own in the same place."""
    assert "content_lost" not in [f.code for f in stored("trl/qwen3", CORPUS["think in content"]).findings]


def test_list_content_written_as_python_text_is_not_lost() -> None:
    """It is in the render, if not as it was meant."""
    assert "content_lost" not in [f.code for f in stored("trl/llama3_1", CORPUS["list content"]).findings]


def test_text_that_the_tokenizer_drops_is_a_note() -> None:
    """With the character where it stood."""
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    model = models.model_of(PreTrainedTokenizerFast(tokenizer_object=core, unk_token="?"), "{{ messages[0].content }}")
    findings = inspector.inspect(model, [{"role": "assistant", "content": "a b"}]).findings
    assert "The tokenizer drops ' ' at character 1" in " ".join(finding.detail for finding in findings)


@pytest.mark.parametrize(
    ("inspection", "why"),
    [
        (lambda: chatml(CORPUS["generation prompt after an answer"]), "add_generation_prompt is on."),
        (
            lambda: template(TURN + "<|b|>{% endfor %}<|a|>assistant:", CORPUS["one turn"]),
            "the template writes it without being asked.",
        ),
    ],
)
def test_trailing_prompt_says_who_asked_for_it(inspection: Callable[[], Inspection], why: str) -> None:
    """The remedy differs."""
    assert find(inspection(), Code.TRAILING_GENERATION_PROMPT).detail.endswith(why)


def test_unreachable_answer_shows_what_is_asked_for_and_what_is_there() -> None:
    """A thinking template leaves the tags out of history."""
    detail = find(stored("trl/qwen3_5_think", CORPUS["two turns"]), Code.UNREACHABLE_FIRST_TOKEN).detail
    assert (
        "asked for with '<|im_start|>assistant\\n<think>\\n'; the example has '<|im_start|>assistant\\nThe Dan"
        in detail
    )
    assert "Only the first 22 characters agree" in detail


def test_answer_to_a_tool_result_that_gets_a_header_in_training_only_is_unreachable() -> None:
    """Gemma 4 asks for it without one."""
    inspection = stored("trl/gemma4", CORPUS["tool call without content"])
    prompts = {header.message_index: header.prompt for header in inspection.example.rendered.headers}
    assert prompts[3] == ""
    unreachable = [f.message_index for f in inspection.findings if f.code is Code.UNREACHABLE_FIRST_TOKEN]
    assert (3 in unreachable) is ("<|turn>model\nClear" in inspection.text)


# --- refusals


def diagnosis(name: str, chat: Any) -> Finding | None:
    """What `diagnose` finds when a stored template refuses a conversation."""
    return diagnosed(oracle.stored_templates()[name], chat)


def diagnosed(source: str, chat: Any) -> Finding | None:
    """The same of any template."""
    model = models.model_of(oracle.tokenizer_for_source(source), source)
    with pytest.raises(InspectorError) as caught:
        inspector.inspect(model, chat, modifiers={"as_given": ["all"]})
    return inspector.diagnose(model, inspector.Conversation.parse(chat), caught.value)


def codes(inspection: Inspection) -> set[Code]:
    """The codes found."""
    return {finding.code for finding in inspection.findings}


def test_system_message_that_the_template_refuses_is_named() -> None:
    """Gemma's own words, the line, and that it renders without."""
    finding = diagnosis("trl/gemma", CORPUS["system, two turns"])
    assert finding is not None
    assert (finding.code, finding.severity, finding.message_index) == (Code.SYSTEM_UNSUPPORTED, Severity.ERROR, 0)
    assert "System role not supported" in finding.detail
    assert finding.detail.endswith("Without message 0 (system) it renders.")


@pytest.mark.parametrize(("chat", "index"), [("consecutive assistants", 2), ("consecutive users", 1)])
def test_second_message_of_a_role_is_named(chat: str, index: int) -> None:
    """With one message per turn it renders: that was tried."""
    finding = diagnosis("trl/gemma", CORPUS[chat])
    assert finding is not None
    assert (finding.code, finding.severity, finding.message_index) == (Code.ROLES_MUST_ALTERNATE, Severity.ERROR, index)
    assert f"message {index} is the second" in finding.detail


JOINED = "{% for m in messages %}{{ '<|a|>' + m.role + ':' + m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("content", "what"),
    [(None, "has no content"), ([{"type": "text", "text": "Be brief."}], "has content that is a list of parts")],
)
@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_content_that_the_template_cannot_join_is_the_cause(role: str, content: Any, what: str) -> None:
    """Not the role of the message that has it: a system message of plain text renders."""
    messages = [{"role": role, "content": content}, *CORPUS["one turn"]]
    finding = diagnosed(JOINED, messages)
    assert finding is not None
    assert (finding.code, finding.message_index) == (Code.CONTENT_UNSUPPORTED, 0)
    assert finding.cause == f"message 0 ({role}) {what}; with plain text there it renders."
    assert finding.detail.endswith(f" The cause: {finding.cause}")


def test_content_that_the_template_takes_is_not_blamed() -> None:
    """A list that it writes stands before the null that it cannot join."""
    joined = "{% if m.content is string or m.role != 'user' %}{{ m.role + m.content }}{% endif %}"
    listed = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    source = "{% for m in messages %}" + joined + "{% endfor %}"
    finding = diagnosed(source, [listed, {"role": "assistant", "content": None}])
    assert finding is not None
    assert (finding.code, finding.message_index) == (Code.CONTENT_UNSUPPORTED, 1)


def test_system_message_that_is_refused_whatever_it_says_is_the_cause() -> None:
    """Plain text in its place does not help."""
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + JOINED
    finding = diagnosed(refusing, [{"role": "system", "content": None}, *CORPUS["one turn"]])
    assert finding is not None
    assert finding.code is Code.SYSTEM_UNSUPPORTED


IMAGE = {"type": "image", "image": "cat.png"}


def test_image_is_neither_lost_nor_trained() -> None:
    """A template writes a placeholder for it, which a processor fills and no model writes."""
    source = (
        "{% for m in messages %}<|a|>{{ m.role }}:{% if m.content is string %}{{ m.content }}{% else %}"
        "{% for part in m.content %}{% if part.type == 'image' %}[pad]{% else %}{{ part.text }}{% endif %}{% endfor %}"
        "{% endif %}<|b|>{% endfor %}" + PROMPT
    )
    found = template(
        source,
        [
            {"role": "user", "content": [IMAGE, {"type": "text", "text": "What is it?"}]},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "A cat: "}, IMAGE, {"type": "text", "text": "."}],
            },
        ],
    )
    assert Code.CONTENT_LOST not in codes(found)
    assert models.trained_text(found) == "A cat: .<|b|>"


def test_text_stop_trains_without_the_line_end_after_it() -> None:
    """The mark is the model's to write; what stands after it in the turn is not."""
    marked = template(TURN + "### End\n{% endfor %}" + PROMPT, CORPUS["two turns"])
    assert models.trained_text(marked).count("### End") == 2
    assert not models.trained_text(marked).endswith("\n")
    unstopped = template(TURN + "### End\n{% endfor %}" + PROMPT, CORPUS["two turns"], stop="never")
    assert "###" not in models.trained_text(unstopped)
    assert Code.STOP_TOKEN_NOT_TRAINED in codes(unstopped)
    assert Code.STOP_IS_TEXT not in codes(unstopped)


def test_second_message_behind_a_system_message_has_its_own_index() -> None:
    """The index counts the system message, which Llama 2's format takes."""
    finding = diagnosis("built in/llama-2", [CORPUS["system"][0], *CORPUS["consecutive users"]])
    assert finding is not None
    assert (finding.code, finding.message_index) == (Code.ROLES_MUST_ALTERNATE, 2)


def test_refusal_without_a_known_cause_has_no_finding() -> None:
    """Nothing is guessed."""
    assert diagnosis("trl/gemma", CORPUS["assistant first"]) is None


def test_other_errors_are_not_diagnosed() -> None:
    """Only refusals and failures of the template are tried out."""
    conversation = inspector.Conversation.parse(CLEAN)
    assert inspector.diagnose(models.model("chatml"), conversation, InspectorError("x")) is None


def test_a_strategy_that_trains_nothing_gets_no_other_blame() -> None:
    """Labelled by hand: every token in context."""
    inspection = chatml(CORPUS["one turn"])
    count = len(inspection.ids)
    from inspector.findings.example import find_all

    nothing = Labelled(trained=(False,) * count, reasons=(Reason.CONTEXT,) * count)
    assert [finding.code for finding in find_all(inspection.example, nothing)] == [Code.NO_TRAINED_TOKENS]


# --- truncation, thinking, the clock


def test_truncation_says_what_is_left_of_each_answer() -> None:
    """Answers that stay whole are not mentioned; one that goes whole is a warning while others are left."""
    whole = chatml(CORPUS["two turns"])
    end = whole.example.turns[1].tokens[-1] + 1
    cut = chatml(CORPUS["two turns"], modifiers={"max_length": end})
    found = [(f.code, f.severity, f.message_index) for f in cut.findings]
    assert found == [(Code.TRUNCATED_AWAY, Severity.WARNING, 3)]
    count = sum(whole.trained[end:])
    assert f"Truncation to {end} of {len(whole.ids)} tokens removes {count} of the {count} tokens of message 3" in (
        cut.findings[0].detail
    )
    assert cut.row == (whole.ids[:end], whole.labels[:end])


def test_truncation_from_the_left_keeps_the_stop_token() -> None:
    """The start of the answer is gone, the stop token is not; the first token that is left predicts nothing."""
    whole = chatml(CORPUS["one turn"])
    cut = chatml(CORPUS["one turn"], modifiers={"max_length": 3, "truncation": "keep_end"})
    assert "its stop token is not among them" in find(cut, Code.TRUNCATED_RESPONSE).detail
    assert cut.row[0] == whole.ids[-3:]
    assert cut.row[1][0] == -100
    assert chatml(CORPUS["one turn"], modifiers={"max_length": len(whole.ids)}).findings == ()


def test_nothing_trained_because_of_truncation() -> None:
    """The cause is the length, not the policy."""
    detail = find(chatml(CORPUS["one turn"], modifiers={"max_length": 4}), Code.NO_TRAINED_TOKENS).detail
    assert "truncation cuts off all" in detail


THINK = TURN.replace("{{ m.content }}", "{{ thought if m.role == 'assistant' }}{{ m.content }}") + "<|b|>{% endfor %}"


@pytest.mark.parametrize(
    ("source", "options", "state"),
    [
        (TURN + "<|b|>{% endfor %}", {}, "absent"),
        (THINK.replace("thought", "'<think></think>'"), {}, "trained"),
        (THINK.replace("thought", "'<think></think>'"), {"reasoning": False}, "in the answer, but not trained"),
    ],
)
def test_thinking_says_where_the_tag_is(source: str, options: dict[str, Any], state: str) -> None:
    """Trained, not trained, or absent; the prompts differ in the part that enable_thinking decides."""
    prompt = "{% if add_generation_prompt %}<|a|>assistant:{{ '<no>' if enable_thinking == false }}{% endif %}"
    finding = find(template(source + prompt, CORPUS["one turn"], **options), Code.THINKING_DEFAULT)
    assert f"<think> is {state}." in finding.detail
    assert "unset '', true '', false '<no>'" in finding.detail


def test_thinking_that_the_prompt_supplies() -> None:
    """The tag is in the header."""
    source = THINK.replace("thought", "'<think>'") + "{% if add_generation_prompt %}<|a|>assistant:<think>"
    source += "{{ '</think>' if enable_thinking == false }}{% endif %}"
    assert "supplied by the prompt" in find(template(source, CORPUS["one turn"]), Code.THINKING_DEFAULT).detail


def test_thinking_is_silent_once_it_is_set_or_has_no_effect() -> None:
    """A row that says so; a template that only mentions the keyword."""
    chat = {"messages": CORPUS["two turns"], "enable_thinking": False}
    assert Code.THINKING_DEFAULT not in [f.code for f in stored("trl/qwen3", chat).findings]
    mentions = TURN + "<|b|>{% endfor %}{% if enable_thinking %}{% endif %}" + PROMPT
    assert template(mentions, CORPUS["one turn"]).findings == ()
    refuses = (
        TURN
        + "<|b|>{% endfor %}{% if add_generation_prompt %}{{ raise_exception('no ' ~ enable_thinking) }}{% endif %}"
    )
    assert Code.THINKING_DEFAULT not in [f.code for f in template(refuses, CORPUS["one turn"]).findings]


def test_clock_is_silent_when_the_date_is_given() -> None:
    """Llama 3 writes the date that it is given."""
    source = "{{ date_string or strftime_now('%Y') }}" + TURN + "<|b|>{% endfor %}" + PROMPT
    dated = {"messages": CORPUS["one turn"], "date_string": "1 Jan 2025"}
    assert template(source, dated).findings == ()


@pytest.mark.parametrize(
    ("strategy", "options", "said"),
    [
        (
            "home_llm",
            lambda ids, stop: {"prefix_ids": [*ids[:2], 5, 6], "suffix_ids": stop},
            "The nearest match has the first 2 of the marker's 4 ids; then comes",
        ),
        ("trl_completion_collator", lambda ids, stop: {"response": [*ids, 7]}, "of the marker's 4 ids; then comes"),
        ("home_llm", lambda ids, stop: {"prefix_ids": [5, 6], "suffix_ids": stop}, None),
    ],
)
def test_missed_marker_shows_its_nearest_match(
    strategy: str, options: Callable[[list[int], list[int]], dict[str, Any]], said: str | None
) -> None:
    """How much of the marker is there, and what comes instead; nothing where nothing is."""
    markers = chatml_markers()
    own = options(markers["prefix_ids"], markers["suffix_ids"])
    detail = find(chatml(CORPUS["one turn"], strategy=strategy, **own), Code.MARKER_NOT_FOUND).detail
    assert (said in detail) if said else "nearest" not in detail


def test_part_that_says_something_is_not_left_out() -> None:
    """A part that is neither text nor a call nor media is said; without it the answer would train alone."""
    content = [{"type": "text", "text": "Let me see."}, {"type": "computer", "action": "click"}]
    chat = [{"role": "user", "content": "Rain?"}, {"role": "assistant", "content": content}]
    findings = inspector.inspect(inspector.load("tiny-chat"), chat).findings
    assert Code.PYTHON_IN_TEXT in {finding.code for finding in findings}


def test_media_that_a_template_for_texts_does_not_take_are_a_warning() -> None:
    """The text trains without them."""
    content = [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "What?"}]
    chat = [{"role": "user", "content": content}, {"role": "assistant", "content": "A cat."}]
    (finding,) = inspector.inspect(inspector.load("tiny-chat"), chat).findings
    assert (finding.code, finding.severity) == (Code.ROW_CHANGED, Severity.WARNING)
    assert finding.detail.endswith("Images, sounds and videos are left out: this template takes text only.")


def test_content_that_is_not_a_number_is_missing() -> None:
    """pandas writes null so; its name is not trained."""
    chat = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": float("nan")}]
    found = inspector.inspect(inspector.load("tiny-chat"), chat)
    assert "NaN" not in found.text
    assert Code.NO_CONTENT in {finding.code for finding in found.findings}


def test_content_without_parts_is_empty() -> None:
    """It is not written as brackets."""
    chat = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": []}]
    assert "[]" not in inspector.inspect(inspector.load("tiny-chat"), chat).text


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ({"tool_calls": [{"type": "function", "function": {"name": "w"}}]}, "[0].function.arguments is missing"),
        ({"tool_calls": "None"}, " is not a list; this template needs a list or nothing"),
        ({"tool_calls": True}, " is not a list; this template needs a list or nothing"),
    ],
)
def test_calls_that_a_template_fails_at_are_named(message: dict[str, Any], what: str) -> None:
    """With what they are."""
    chat = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", **message}]
    with pytest.raises(TemplateFailedError, match=re.escape(f"message 1 (assistant) · tool_calls{what}")):
        inspector.inspect(inspector.load("tiny-chat"), chat)


@pytest.mark.parametrize("calls", [True, 1, 1.5])
def test_calls_that_are_none_end_no_run(calls: Any) -> None:
    """The template decides about them."""
    chat = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "tool_calls": calls}]
    with suppress(InspectorError):
        inspector.inspect(models.model("chatml"), chat)
