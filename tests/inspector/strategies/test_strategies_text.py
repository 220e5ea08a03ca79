"""Strategies that look at headers, contents, prefixes and strings, on chats small enough to check by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inspector
from inspector.conversation import Conversation
from inspector.errors import StrategyError, StrategyRefusedError, TemplateRefusedError, TemplateTimeoutError
from inspector.rendering import sandbox
from inspector.rendering.plain_jinja import keeping_whitespace
from inspector.strategies import Example, Reason, label
from inspector.strategies.content_diff import content_diff_bits
from inspector.strategies.prefixes import _holds_answer as holds_answer
from inspector.strategies.prefixes import char_bits
from inspector.strategies.responses_only import Marker, answer_spans, markers
from tests.inspector.strategies.test_strategies import (
    ASSISTANT,
    CHAT,
    END,
    LAST_IS_LOUD,
    RAISES_ON_PREFIX,
    USER,
    bits,
    letters,
    look,
    text,
)
from tests.support import models
from tests.support.corpus import CORPUS

TEMPLATE_PIECES = [
    "a", "\n", "  ", "\r\n", "{% if x %}", "{%- if x %}", "{% if x -%}", "{%+ if x +%}", "{% endif %}", "{%- endif -%}",
    "{# c #}", "{#- c #}", "{# c -#}", "{{ x }}", "{{- x }}", "{{ '%}' -}}", "{% raw %}", "{%- raw -%}", "{% endraw %}",
    "{%- endraw -%}", "{% set y = {'a': {'b': 1}} %}", "{", "}",
]  # fmt: skip


# --- headers


def spans_of(row: list[str]) -> list[tuple[int, int]]:
    """answer_spans over a row of words, with the markers `<u> user` and `<a> assistant`."""
    inspection = look(CORPUS["one turn"], "full")
    example = inspection.example
    tokenizer = models.trained_tokenizer(["<u>", "<a>", "<s>", "</s>"], bos_token="<s>", eos_token="</s>")
    ids = tuple(id for word in row for id in tokenizer(word, add_special_tokens=False)["input_ids"])
    made = replace(example, tokenizer=tokenizer, tokens=replace(example.tokens, ids=ids))
    question, answer = markers(made, "<u>", "<a>")
    return answer_spans(made, question, answer)


@pytest.mark.parametrize(
    ("row", "spans"),
    [
        (["<u>", "Q", "<a>", "A", "</s>", "Q"], [(3, 5)]),  # the eos is trained
        (["<u>", "Q", "<a>", "A", "<u>", "Q", "<a>", "A"], [(3, 4), (7, 8)]),
        (["<a>", "A", "<s>", "Q"], [(1, 2)]),  # a bos ends it
        (["<a>", "A", "<a>", "B"], [(1, 2), (3, 4)]),  # another answer's header
        (["<u>", "Q", "<a>"], []),  # a header at the very end opens nothing
        (["Q", "A"], []),
    ],
)
def test_answer_spans(row: list[str], spans: list[tuple[int, int]]) -> None:
    """Where an answer begins and what ends it."""
    assert spans_of(row) == spans


def test_ids_cut_off_in_front_of_a_question_are_not_the_answers() -> None:
    """The optional left neighbours of the question's header, as many as are there."""
    example = look(CORPUS["one turn"], "full").example
    question, answer = Marker(core=(7,), left=(5, 6)), Marker(core=(8,), right=(9,))
    for row, span in (((8, 9, 1, 5, 6, 7), (2, 3)), ((8, 1, 6, 7, 2), (1, 2)), ((8, 6, 7, 2), (1, 1))):
        made = replace(example, tokens=replace(example.tokens, ids=row))
        assert answer_spans(made, question, answer) == [span]


def test_responses_only_masks_texts_out() -> None:
    """Wherever their ids stand in an answer."""
    assert text(CHAT, "responses_only", mask_out_tokens=["<|im_end|>"]) == "The Danube.The Nile."
    assert text(CHAT, "responses_only", mask_out_tokens="<|im_end|>") == "The Danube.The Nile."
    with pytest.raises(StrategyError, match="mask_out_tokens is 7, and must be a list of texts"):
        look(CHAT, "responses_only", mask_out_tokens=7)


def test_responses_only_reads_the_headers_that_are_not_given() -> None:
    """From the template's own text before the messages."""
    given = look(CHAT, "responses_only", instruction_part=USER, response_part=ASSISTANT)
    assert look(CHAT, "responses_only").trained == given.trained
    assert models.trained_text(given) == "The Danube.<|im_end|>The Nile.<|im_end|>"
    assert text(CHAT, "responses_only", last_only=True) == "The Nile.<|im_end|>"
    with pytest.raises(StrategyRefusedError, match="Give response_part"):
        look(CHAT, "responses_only", "{% for m in messages %}{{ m.content }}{% endfor %}", instruction_part=USER)
    with pytest.raises(StrategyRefusedError, match="Give instruction_part"):
        look(CORPUS["assistant alone"], "responses_only")
    with pytest.raises(StrategyError, match="must be the text of a header"):
        look(CHAT, "responses_only", instruction_part="", response_part=ASSISTANT)


def test_headers_lose_the_ids_that_their_neighbours_change() -> None:
    """Without its line break the role merges with what follows: it is optional, unless both cores are then the same."""
    example = look(CHAT, "full").example
    alone, _ = markers(example, "<|im_start|>use", "nothing")
    start = example.tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert alone.core[0] == start
    question, answer = markers(example, "<|im_start|>user", "<|im_start|>assistant")
    assert question.core != answer.core
    assert (question.right, answer.right) == ((), ())


# --- content by difference


def diff(row: str, turns: list[tuple[bool, tuple[int, int]]], on_eos: str, on_eot: str = "none") -> str:
    """Eos is E, eot is T."""
    ends = [(frozenset(letters("T")), on_eot), (frozenset(letters("E")), on_eos)]
    return bits(row, content_diff_bits(letters(row), turns, ends))


def test_content_diff_trains_contents_and_the_ends_near_them() -> None:
    """turn: behind trained contents; all: behind every one; last: the last found; none; three tokens away at most."""
    turns = [(False, (1, 3)), (True, (5, 7))]
    assert diff("huuEhaaE", turns, "turn") == ".....aaE"
    assert diff("huuEhaaE", turns, "all") == "...E.aaE"
    assert diff("huuEhaaE", turns, "last") == ".....aaE"
    assert diff("huuEhaaE", turns, "none") == ".....aa."
    assert diff("huuThaaT", turns, "none", "all") == "...T.aaT"
    assert diff("haa...E", [(True, (1, 3))], "turn") == ".aa...E"
    assert diff("haa....E", [(True, (1, 3))], "turn") == ".aa....."
    assert diff("uE", [(True, (-1, -1))], "turn") == ".."
    assert diff("uEaa", [(True, (-1, -1))], "turn") == ".E.."


def test_content_diff_on_chats() -> None:
    """Roles, flags, tool calls that the placeholder drops, and contents that it cannot find."""
    assert text(CHAT, "content_diff") == "The Danube.<|im_end|>The Nile.<|im_end|>"
    assert text(CHAT, "content_diff", roles=["user"], train_on_eos="none") == (
        "Which river runs through Vienna?And through Cairo?"
    )
    assert text(CORPUS["per-message flags"], "content_diff") == "The Nile.<|im_end|>"
    assert text(CHAT, "content_diff", train_on_eos="last") == "The Danube.The Nile.<|im_end|>"
    assert text(CHAT, "content_diff", eot_tokens=[END], train_on_eot="all", train_on_eos="none") == (
        "<|im_end|>The Danube.<|im_end|><|im_end|>The Nile.<|im_end|>"
    )
    lost = look(CORPUS["empty answer"], "content_diff")
    assert "content was not found" in lost.labelled.warnings[0]
    assert Reason.LOST in lost.labelled.reasons


def test_content_diff_refuses_what_it_cannot_use() -> None:
    """Choices, end tokens, and a template that refuses the placeholder."""
    with pytest.raises(StrategyError, match="train_on_eos is 'never'"):
        look(CHAT, "content_diff", train_on_eos="never")
    with pytest.raises(StrategyError, match="must be one"):
        look(CHAT, "content_diff", eot_tokens=["two words"])
    with pytest.raises(StrategyError, match="must be a list of tokens"):
        look(CHAT, "content_diff", eot_tokens="<|im_end|>")
    refusal = "{% if 'dummy' in m.content %}{{ raise_exception('No.') }}{% endif %}"
    picky = "{% for m in messages %}" + refusal + "{{ m.content }}{% endfor %}"
    with pytest.raises(StrategyRefusedError, match="with a placeholder in it"):
        look(CHAT, "content_diff", picky)


def test_content_diff_legacy_trains_behind_the_last_prompt() -> None:
    """And says where its ids are not those shown."""
    assert text(CHAT, "content_diff_legacy") == "The Nile.<|im_end|>\n"
    assert "not a prefix" in look(CHAT, "content_diff_legacy", LAST_IS_LOUD).labelled.warnings[0]
    with pytest.raises(StrategyRefusedError, match="only one message"):
        look(CORPUS["question only"], "content_diff_legacy")
    assert "without the tools" in look(CORPUS["tools, no call"], "content_diff_legacy").labelled.warnings[0]


# --- growing prefixes


def test_prefix_render_trains_between_prompt_and_end() -> None:
    """All answers, or the last; with whatever the template writes behind them."""
    assert text(CHAT, "prefix_render") == "The Danube.<|im_end|>\nThe Nile.<|im_end|>\n"
    assert text(CHAT, "prefix_render", last_only=True) == "The Nile.<|im_end|>\n"
    assert text(CORPUS["assistant first"], "prefix_render").startswith("assistant\nWelcome!")


def test_prefix_render_counts_where_the_history_is_rewritten() -> None:
    """Tokens of the parts; where they miss an answer the row is dropped, and so where a part does not render."""
    same_length = LAST_IS_LOUD.replace("m.content | upper", "m.content + '!'")
    counted = look(CHAT, "prefix_render", same_length)
    assert "renders earlier messages differently" in counted.labelled.warnings[0]
    dropped = look(CHAT, "prefix_render", RAISES_ON_PREFIX)
    assert not any(dropped.trained)
    assert "drops this row" in dropped.labelled.warnings[-1]


def test_tokens_without_characters_are_not_trained() -> None:
    """And the others are when they overlap a span by one character."""
    assert char_bits([(0, 2), (2, 2), (2, 4), (4, 5)], [(1, 3)]) == [True, False, True, False]


def test_counted_tokens_must_hold_the_answer() -> None:
    """From its start, whole unless the row ends there, and nothing of a later message."""
    example = look(CHAT, "full").example
    starts = [start for start, _ in example.tokens.char_spans]
    ends = [end for _, end in example.tokens.char_spans]
    first, last = (example.rendered.text.index(answer) for answer in ("The Danube.", "The Nile."))
    start, stop = starts.index(first), ends.index(first + len("The Danube.")) + 1
    assert holds_answer(example, 1, start, stop)
    assert not holds_answer(example, 1, start - 3, stop)
    assert not holds_answer(example, 1, start, stop - 1)
    assert not holds_answer(example, 1, start, len(example))
    assert holds_answer(example, 1, stop, stop)
    assert holds_answer(example, 3, starts.index(last), len(example))
    listed = look(CORPUS["list content"], "full", "{% for m in messages %}{{ m.content[0].text }}{% endfor %}")
    with pytest.raises(StrategyRefusedError, match="has list content"):
        holds_answer(listed.example, 1, 0, 3)


def test_incremental_delta_trains_the_assistants_headers() -> None:
    """And says where the trainer's row is another one."""
    assert text(CHAT, "incremental_delta") == (
        "<|im_start|>assistant\nThe Danube.<|im_end|>\n<|im_start|>assistant\nThe Nile.<|im_end|>\n"
    )
    assert look(CHAT, "incremental_delta").labelled.warnings == ()
    assert "is not the one shown" in look(CHAT, "incremental_delta", LAST_IS_LOUD).labelled.warnings[0]
    with pytest.raises(StrategyRefusedError, match="the first 1 messages alone"):
        look(CHAT, "incremental_delta", RAISES_ON_PREFIX)


# --- torchtune

HEADED = (
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LINES_AFTER_TAGS = (
    "{{ bos_token }}\n{% for m in messages %}\n  {% if m.role == 'user' %}\nQ: {{ m.content }}\n  {% else %}\n"
    "A: {{ m.content }}\n  {% endif %}\n{% endfor %}\n{% if add_generation_prompt %}A: {% endif %}"
)
ONE = CORPUS["one turn"]


def test_torchtune_trains_the_headers_and_the_one_to_come() -> None:
    """The row is torchtune's, with its generation prompt; what it puts after the row is said."""
    header = "<|im_start|>assistant\n"
    shown = look(CHAT, "torchtune", HEADED)
    assert models.trained_text(shown) == f"{header}The Danube.<|im_end|>{header}The Nile.<|im_end|>{header}"
    assert shown.text.endswith(header)
    assert shown.labelled.warnings == ("torchtune appends <|im_end|> to the row and does not train it.",)
    last = look(CHAT, "torchtune", HEADED, masking_strategy="train_on_last")
    assert models.trained_text(last) == f"{header}The Nile.<|im_end|>{header}"
    everything = look(CHAT[:2], "torchtune", HEADED, masking_strategy="train_on_all")
    assert sum(everything.trained) == len(everything.ids) - 1
    with pytest.raises(StrategyError, match="masking_strategy is 'all', and must be one of: train_on_assistant, "):
        look(CHAT, "torchtune", HEADED, masking_strategy="all")


def test_torchtune_without_eos_ends_where_the_messages_do() -> None:
    """Its eos then takes the last token's place, unless that is eos."""
    assert look(CHAT, "torchtune", HEADED, add_eos=False).labelled.warnings == ()
    shown = look(CHAT, "torchtune", HEADED.replace("'<|im_end|>'", "'.'"), add_eos=False)
    assert shown.labelled.warnings == ("torchtune overwrites the row's last token with <|im_end|>.",)


def test_torchtune_puts_a_bos_before_a_row_without_one() -> None:
    """It is not among the tokens shown; with all trained, the first of those trains as well."""
    bare = "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}"
    bos = models.model("chatml").tokenizer.bos_token
    shown = look(CHAT, "torchtune", bare)
    assert shown.labelled.warnings[0] == f"torchtune puts {bos} before the row."
    everything = look(CHAT, "torchtune", bare, masking_strategy="train_on_all")
    assert everything.labelled.warnings[0].endswith(
        "; the first token shown, which then has one before it, is trained."
    )


def test_torchtune_renders_with_plain_jinja() -> None:
    """Line ends after tags stay in its row; what plain Jinja does not know, it stops at."""
    shown = look(CHAT, "torchtune", LINES_AFTER_TAGS)
    assert "A: The Nile.\n  \n\nA: " in shown.text
    assert "A: The Nile.\nA: " in look(CHAT, "full", LINES_AFTER_TAGS + "A: ").text
    for source, reason in (
        ("{% if tools %}{% endif %}", "'tools' is undefined"),
        ("{% generation %}{% endgeneration %}", "does not compile, line 3: Encountered unknown tag 'generation'"),
        ("{{ raise_exception('Not so.') if messages | length == 1 }}", "refuses this conversation at line 3: Not so."),
    ):
        with pytest.raises(StrategyRefusedError, match=f"the first 1 messages with plain Jinja, .* fails: .*{reason}"):
            look(CHAT, "torchtune", HEADED + source)


def test_torchtune_s_row_may_be_none_that_the_template_renders() -> None:
    """The labels stand by position, and warnings say what differs, in the text and in the ids."""
    dated = HEADED + "{{ 'today' if strftime_now is defined else 'some day' }}"
    text, *_ = look(CHAT, "torchtune", dated).labelled.warnings
    assert text.startswith("Plain Jinja renders another text than the one shown from character ")
    assert text.endswith("'some day' instead of 'today'.")
    ids, *_ = look(CHAT, "torchtune", LAST_IS_LOUD + "{{ bos_token }}").labelled.warnings
    assert "put together from what each message adds" in ids


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        (ONE[:1], "it needs at least two messages"),
        ([*ONE, {"role": "tool", "content": "9"}, *ONE], "message 2 is a tool's result, and it knows no call"),
        (ONE[::-1], "message 0 is an answer that does not follow a question"),
        ([ONE[0], *ONE], "messages 0 and 1 are both the user's"),
        ([*ONE, {"role": "system", "content": "Be short."}], "message 2 is a system message, which it takes only as"),
        ([{"role": "user", "content": None}, ONE[1]], "message 0 has no content"),
        ([{"role": "user", "content": [{"type": "image"}]}, ONE[1]], "message 0 has no part with text"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, ONE[1]],
            "message 0 begins with an image, whose pixels it would write into the text",
        ),
    ],
)
def test_torchtune_stops_at_what_it_does_not_take(chat: list[dict[str, Any]], reason: str) -> None:
    """Its data sets validate each conversation before they render it."""
    lenient = "{{ bos_token }}{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}"
    with pytest.raises(StrategyRefusedError, match=f"torchtune stops at this row: {reason}"):
        look(chat, "torchtune", lenient)


def test_torchtune_takes_the_first_part_and_repeats_for_a_null() -> None:
    """Of list content; an answer without content gets that of the question."""
    parts = [{"type": "image"}, {"type": "text", "text": "Which?"}, {"type": "text", "text": "Say."}]
    lenient = HEADED.replace("m.content", "(m.content[1].text if m.content is not string else m.content)")
    with_image = [{"role": "user", "content": parts}, ONE[1]]
    assert "user\nWhich?<|im_end|>" in look(with_image, "torchtune", lenient).text
    nothing = look(
        [ONE[0], {"role": "assistant", "content": None}], "torchtune", HEADED.replace("+ m.content", "~ m.content")
    )
    assert models.trained_text(nothing).count(ONE[0]["content"]) == 1
    assert nothing.labelled.warnings[0] == "Message 1 has no content: torchtune gives it that of the message before."
    pictured = [{"role": "user", "content": [parts[1], {"type": "image_url", "image_url": {"url": "x"}}]}, ONE[1]]
    first = HEADED.replace("m.content", "(m.content[0].text if m.content is not string else m.content)")
    assert "Which?" not in models.trained_text(look(pictured, "torchtune", first, masking_strategy="train_on_all"))


def test_torchtune_needs_a_bos_token_and_a_tokenizer_json() -> None:
    """Its tokenizer does not load without them."""
    without = models.model_of(models.trained_tokenizer(["<|im_end|>"], eos_token="<|im_end|>"), HEADED)
    with pytest.raises(StrategyRefusedError, match="does not load this tokenizer: it has no bos_token"):
        inspector.inspect(without, CHAT, "torchtune")
    with pytest.raises(StrategyRefusedError, match=r"does not load this tokenizer: it has no tokenizer\.json"):
        inspector.inspect(inspector.load("bytes-slow"), CHAT, "torchtune")


@given(st.lists(st.sampled_from(TEMPLATE_PIECES), min_size=2, max_size=9).map("".join))
@settings(max_examples=400)
def test_transformers_renders_the_changed_source_as_plain_jinja_does(source: str) -> None:
    """No line end and no blank more is removed, whatever stands around the tags."""
    try:
        expected = jinja2.Environment().from_string(source).render(x="X")
    except jinja2.TemplateSyntaxError:
        return
    settings_of_transformers = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    assert settings_of_transformers.from_string(keeping_whitespace(source)).render(x="X") == expected


# --- strings


def test_chatml_never_trains_the_stop_token() -> None:
    """Between header and end, both left out; an answer without an end runs to the end of the text."""
    assert text(CHAT, "chatml") == "The Danube.The Nile."
    assert text({"messages": CHAT[:1], "add_generation_prompt": True}, "chatml") == ""
    missing = look(CHAT, "chatml", "{{ messages[0].content }}")
    assert "are not in the row: nothing is trained" in missing.labelled.warnings[0]


def test_chatml_works_on_ids() -> None:
    """A header inside an answer begins another one; a line end that merges with the answer hides the header."""
    quoted = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": f"Say {ASSISTANT}Ho"}]
    assert text(quoted, "chatml") == "Say Ho"
    merged = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "\nHo"}]
    assert text(merged, "chatml") == ""


def test_chatml_refuses_a_tokenizer_without_its_tokens() -> None:
    """As the original does, instead of training nothing."""
    with pytest.raises(StrategyRefusedError, match=r"no token '<\|im_start\|>', and the trainer refuses such"):
        inspector.inspect(models.model("llama3"), CHAT, "chatml")


def test_string_span_trains_to_the_stop_token() -> None:
    """Every place of the template; without a stop token to the next place or the end."""
    assert text(CHAT, "string_span", response_template=ASSISTANT) == "The Danube.<|im_end|>The Nile.<|im_end|>"
    plain = "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n\\n' }}{% endfor %}"
    found = text(CHAT, "string_span", plain, response_template="assistant:")
    assert found.startswith(" The Danube.")
    assert "Cairo" in found
    two = [{"role": "user", "content": "A: One A: Two<|im_end|>"}]
    assert text(two, "string_span", "_{{ messages[0].content }}", response_template="A:") == " One  Two<|im_end|>"
    with pytest.raises(StrategyError, match="must be the text that stands before"):
        look(CHAT, "string_span", response_template="")


def test_llama3_sft_loses_the_start_of_the_answer() -> None:
    """As many tokens of it as the template has; what follows the first answer is trained, questions included."""
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "One Two Three Monday: Tuesday."}]
    inspection = look(chat, "llama3_sft", response_template=ASSISTANT)
    size = len(models.model("chatml").tokenizer(ASSISTANT, add_special_tokens=False)["input_ids"])
    answer = look(chat, "prefix_render")
    assert sum(inspection.trained) == sum(answer.trained) - size
    assert "And through Cairo?" in text(CHAT, "llama3_sft", response_template=ASSISTANT)
    missed = look(CHAT, "llama3_sft", response_template="### Answer:")
    assert any(missed.trained)
    long = look(CHAT, "llama3_sft", "{{ '<|im_end|>' * 9 + messages[0].content }}", response_template="?" * 3)
    assert any(long.trained)
    assert "does not notice" in missed.labelled.warnings[0]
    with pytest.raises(StrategyError, match="must be the text that stands before"):
        look(CHAT, "llama3_sft", response_template="")


# --- renders for strategies


def test_renders_for_strategies_stay_in_the_sandbox() -> None:
    """A text or an error in each place; what runs for ever ends the whole call."""
    template = "{% if messages[0].content == 'no' %}{{ raise_exception('Never.') }}{% endif %}{{ messages[0].content }}"
    chats = [Conversation.parse([{"role": "user", "content": word}]) for word in ("yes", "no", *"abcdefgh")]
    found = sandbox.texts(template, chats, {})
    assert [found[0], *found[2:]] == ["yes", *"abcdefgh"]
    assert isinstance(found[1], TemplateRefusedError)
    with pytest.raises(TemplateTimeoutError):
        sandbox.texts("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", chats[:1], {})


def test_example_without_its_model_cannot_render() -> None:
    """A strategy that needs another render says so."""
    example = look(CHAT, "full").example
    bare = Example(
        conversation=example.conversation,
        rendered=example.rendered,
        tokens=example.tokens,
        turns=example.turns,
        tokenizer=example.tokenizer,
    )
    with pytest.raises(StrategyError, match="made without its model"):
        label(bare, "prefix_render", {})
