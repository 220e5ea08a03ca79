"""Strategies that look at headers, contents, prefixes and strings, on chats small enough to check by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from corpus import CORPUS
from test_strategies import ASSISTANT, CHAT, END, LAST_IS_LOUD, RAISES_ON_PREFIX, USER, bits, letters, look, text

import inspector
import models
from inspector import sandbox
from inspector.conversation import Conversation
from inspector.errors import StrategyError, StrategyRefusedError, TemplateRefusedError, TemplateTimeoutError
from inspector.strategies import Example, Reason, label
from inspector.strategies.content_diff import content_diff_bits
from inspector.strategies.prefixes import _holds_answer as holds_answer
from inspector.strategies.prefixes import char_bits
from inspector.strategies.responses_only import Marker, answer_spans, markers

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
