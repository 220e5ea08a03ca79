"""Tokens cover the rendered text: by the tokenizer's own offsets, or by decoding, and never by guessing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
from inspector.errors import TokenizationError
from inspector.rendering.origins import TEMPLATE, Origin, OriginKind, Run
from inspector.rendering.render import render
from inspector.rendering.rendered import Rendered
from inspector.tokens import TokenTable, tokenize
from tests import oracle
from tests.support import models
from tests.support.corpus import CORPUS

ANSWER = Origin(OriginKind.MESSAGE, 0, "content")
SPECIAL = ["<|a|>", "<|b|>"]


def rendered(*parts: tuple[str, Origin]) -> Rendered:
    """A render of these texts, each of one origin."""
    runs = tuple(Run(len(text), origin, 0 if origin is ANSWER else None, 0) for text, origin in parts if text)
    return Rendered(
        text="".join(text for text, _ in parts), runs=runs, generation_spans=(), headers=(), prompt_start=None
    )


@pytest.fixture(scope="module")
def byte_tokenizer() -> Any:
    """One token a byte."""
    return oracle.byte_tokenizer(SPECIAL)


@pytest.fixture(scope="module")
def merging_tokenizer() -> Any:
    """With merges, also inside characters."""
    return models.trained_tokenizer(SPECIAL)


@pytest.fixture(scope="module")
def slow_tokenizer() -> Any:
    """ByT5's: plain Python, one token a byte, no offsets."""
    from transformers import ByT5Tokenizer

    return ByT5Tokenizer(additional_special_tokens=SPECIAL, extra_ids=0)


def word_tokenizer(**options: Any) -> Any:
    """A fast tokenizer that knows whole words and throws spaces away."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(WordLevel({"<unk>": 0, "the": 1, "nile": 2}, unk_token="<unk>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", **options)


TEXT = st.text(st.sampled_from("ab \n\t?é維😀👩\u200d👧🏽\u0301ß\x00" + "T"), max_size=20)
PIECES = st.lists(TEXT | st.sampled_from([*SPECIAL, "The Danube.", "\n\n", "<|a", "👩‍👩‍👧‍👦"]), max_size=6).map("".join)


@pytest.mark.parametrize("kind", ["byte_tokenizer", "merging_tokenizer", "slow_tokenizer"])
def test_any_text_is_covered_in_order(request: pytest.FixtureRequest, kind: str) -> None:
    """Spans are ordered, pieces and uncovered text rebuild the text, ids are the tokenizer's."""
    tokenizer = request.getfixturevalue(kind)

    @given(PIECES, PIECES)
    def check(one: str, other: str) -> None:
        shown = rendered((one, TEMPLATE), (other, ANSWER))
        table = tokenize(tokenizer, shown)
        assert oracle.wrong_tokens(table, shown.text) == []
        assert list(table.ids) == tokenizer(shown.text, add_special_tokens=False)["input_ids"]
        assert table.uncovered == ()
        assert len(table) == len(table.texts) == len(table.runs) == len(table.special)

    check()


def test_parts_of_an_emoji_share_its_span(byte_tokenizer: Any) -> None:
    """Four tokens encode one character: each says so, and the text is shown once."""
    table = tokenize(byte_tokenizer, rendered(("a😀b", ANSWER)))
    assert table.char_spans == ((0, 1), (1, 2), (1, 2), (1, 2), (1, 2), (2, 3))
    assert [table.is_part(i) for i in range(6)] == [False, True, True, True, True, False]
    assert table.pieces() == ["a", "😀", "", "", "", "b"]


def test_special_tokens_are_known_as_such(byte_tokenizer: Any) -> None:
    """Also when a message's own text brings them."""
    table = tokenize(byte_tokenizer, rendered(("<|a|>x", TEMPLATE), ("<|b|>", ANSWER)))
    assert table.special == table.control == (True, False, True)
    assert table.texts == ("<|a|>", "x", "<|b|>")


def test_added_tokens_are_special_but_not_control() -> None:
    """`<think>` of many models is added, and is no control token."""
    tokenizer = oracle.byte_tokenizer(["<|a|>"])
    tokenizer.add_tokens(["<think>"])
    table = tokenize(tokenizer, rendered(("<|a|><think>x", TEMPLATE)))
    assert table.special == (True, True, False)
    assert table.control == (True, False, False)


def test_a_token_over_a_boundary_is_a_straddler(merging_tokenizer: Any) -> None:
    """Its runs say how much of it is whose."""
    shown = rendered(("\n", TEMPLATE), ("\nThe", ANSWER))
    table = tokenize(merging_tokenizer, shown)
    assert table.texts[0] == "\n\n"
    assert [(run.length, run.origin) for run in table.runs[0]] == [(1, TEMPLATE), (1, ANSWER)]
    assert [table.is_straddler(i) for i in range(len(table))] == [True, *[False] * (len(table) - 1)]
    assert table.origins(0) == [TEMPLATE, ANSWER]


def test_lines_of_the_template_make_no_straddler(merging_tokenizer: Any) -> None:
    """A token over two template lines merges nothing that matters; nor do two parts of one field."""
    one, two = Origin(OriginKind.TEMPLATE, line=1), Origin(OriginKind.TEMPLATE, line=2)
    table = tokenize(merging_tokenizer, rendered(("\n", one), ("\n", two)))
    assert table.texts == ("\n\n",)
    assert not table.is_straddler(0)


def test_two_fields_in_one_token_are_a_straddler(merging_tokenizer: Any) -> None:
    """Reasoning and answer may be trained differently."""
    thought = Origin(OriginKind.MESSAGE, 0, "reasoning_content")
    table = tokenize(merging_tokenizer, rendered(("\n", thought), ("\n", ANSWER)))
    assert table.is_straddler(0)


def test_dropped_text_is_said_to_be_uncovered() -> None:
    """A tokenizer that throws spaces away does not hide that it does."""
    table = tokenize(word_tokenizer(), rendered((" the  nile ", ANSWER)))
    assert table.texts == ("the", "nile")
    assert table.uncovered == ((0, 1), (4, 6), (10, 11))
    assert oracle.wrong_tokens(table, " the  nile ") == []


def test_normalised_text_keeps_its_place() -> None:
    """The text shown is the one rendered, not the one the tokenizer made of it."""
    assert tokenize(word_tokenizer(), rendered(("The NILE", ANSWER))).texts == ("The", "NILE")


def test_empty_text_has_no_tokens(byte_tokenizer: Any) -> None:
    """A template may write nothing."""
    assert len(tokenize(byte_tokenizer, rendered())) == 0


def test_slow_tokenizer_is_aligned_by_decoding(slow_tokenizer: Any) -> None:
    """It reports no offsets: that is said, and the spans are right all the same."""
    assert not slow_tokenizer.is_fast
    table = tokenize(slow_tokenizer, rendered(("<|a|>", TEMPLATE), ("é😀x", ANSWER)))
    assert not table.has_offsets
    assert table.texts == ("<|a|>", "é", "é", "😀", "😀", "😀", "😀", "x")
    assert table.special[0]


def test_slow_tokenizer_that_loses_text_is_refused() -> None:
    """Words decoded without their spaces cannot be laid over the text: nothing is shown rather than something wrong."""
    from transformers import BertTokenizer

    class SlowWords(BertTokenizer):
        """A tokenizer of a Python class whose decoding is not the text."""

        is_fast = False

    tokenizer = SlowWords(vocab={"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "the": 5, "nile": 6})
    with pytest.raises(
        TokenizationError, match=r"SlowWords reports no character offsets, and decoding .* at character"
    ):
        tokenize(tokenizer, rendered(("the\tNILE", ANSWER)))


def test_an_inspection_with_a_slow_tokenizer_says_so(slow_tokenizer: Any) -> None:
    """The finding is a note: the spans are verified."""
    template = (
        "{% for m in messages %}<|a|>{{ m.role }}:{{ m.content }}<|b|>{% endfor %}"
        "{% if add_generation_prompt %}<|a|>assistant:{% endif %}"
    )
    inspection = inspector.inspect(models.model_of(slow_tokenizer, template), CORPUS["one turn"])
    assert "slow_tokenizer" in [finding.code for finding in inspection.findings]
    assert models.trained_text(inspection) == "The Danube.<|b|>"


@pytest.mark.parametrize("name", [*oracle.REAL_MODELS, "gpt2"])
def test_real_tokenizers_cover_every_render_of_the_corpus(real_model_dir: Callable[[str], Path], name: str) -> None:
    """Emoji, combining marks and zero width characters through byte-level BPE and sentencepiece."""
    real_model_dir(name)
    tokenizer = oracle.load_tokenizer(name)
    source = oracle.stored_templates()["built in/chatml"]
    for title, conversation in oracle.conversations().items():
        if oracle.compare(source, conversation, {}).rendered is None:
            continue
        shown = render(source, conversation, {})
        assert oracle.wrong_tokens(tokenize(tokenizer, shown), shown.text) == [], title


def test_other_ids_without_offsets_are_refused(merging_tokenizer: Any) -> None:
    """A tokenizer must give a trainer the ids that are shown."""

    class Moody(type(merging_tokenizer)):  # type: ignore[misc]
        """Gives other ids when it reports offsets."""

        def __call__(self, text: str, **options: Any) -> Any:
            return super().__call__("x" + text if options.get("return_offsets_mapping") else text, **options)

    moody = Moody(tokenizer_object=merging_tokenizer._tokenizer)
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(TokenizationError, match="Moody gives other ids when it reports offsets, from token 0 on"):
        inspector.inspect(models.model_of(moody, template), CORPUS["one turn"])


def test_table_length_is_the_number_of_tokens(byte_tokenizer: Any) -> None:
    """len() of a table counts tokens, not characters."""
    table = tokenize(byte_tokenizer, rendered(("é", ANSWER)))
    assert isinstance(table, TokenTable)
    assert len(table) == 2
