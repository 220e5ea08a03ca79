"""Each remedy takes the finding away that it is offered for, and says so where it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import inspector
from inspector.errors import InspectorError, RemedyError
from inspector.findings.codes import Code, Severity
from inspector.gallery import find_entry
from inspector.inspection import Inspection
from inspector.remedies import REMEDIES, apply_remedy, free_pad_token, offers, offers_for_refusal
from inspector.setup import Setup
from tests.support import models

CHAT = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]

HEALS = [
    ("trailing_generation_prompt", "drop_generation_prompt"),
    ("suffix_includes_next_header", "use_verified_ids"),
    ("suffix_includes_next_header", "train_exact_labels"),
    ("marker_not_found", "train_exact_labels"),
    ("foreign_text_in_loss", "train_exact_labels"),
    ("prompt_text_in_loss", "train_exact_labels"),
    ("stop_token_not_trained", "train_every_stop"),
    ("template_not_prefix_stable", "split_turns"),
    ("boundary_merge", "strip_answers"),
    ("pad_is_eos", "set_pad_token"),
    ("stop_is_text", "add_stop_tokens"),
    ("pad_id_zero", "set_pad_token"),
    ("labels_differ", "label_anew"),
    ("ids_differ", "label_anew"),
    ("truncated_response", "drop_max_length"),
    ("truncated_away", "drop_max_length"),
    ("system_unsupported", "fold_system"),
]
"""(example of the gallery, remedy): the finding is gone afterwards."""


def codes(inspection: Inspection) -> set[Code]:
    """The codes found."""
    return {finding.code for finding in inspection.findings}


@pytest.mark.parametrize(("name", "remedy"), HEALS)
def test_remedy_is_offered_and_heals(name: str, remedy: str) -> None:
    """Offered for the finding of the example; after it the finding is gone, and something still trains."""
    setup = find_entry(name).setup
    before = setup.inspect()
    assert Code(name) in codes(before)
    assert remedy in [offer.name for offer in offers(before)[Code(name)]]
    rows = [changed.inspect() for changed in apply_remedy(remedy, setup)]
    last = rows[-1]  # a split keeps what is trained of the last turn in the last row; earlier rows end earlier
    assert Code(name) not in codes(last)
    assert any(last.trained)


def test_straddlers_are_left_out() -> None:
    """The merge stays, and is said; the token is no longer trained."""
    setup = find_entry("boundary_merge").setup
    (changed,) = apply_remedy("leave_straddlers_out", setup)
    after = changed.inspect()
    assert "is not trained, and only part" in after.findings[0].detail


def test_tags_are_moved_by_the_training_template() -> None:
    """With transformers' own tags as the strategy the proven template marks the answers."""
    setup = replace(find_entry("tags_misplaced").setup, strategy="generation_tags")
    before = setup.inspect()
    assert "use_training_template" in [offer.name for offer in offers(before)[Code.TAGS_MISPLACED]]
    (changed,) = apply_remedy("use_training_template", setup)
    after, truth = changed.inspect(), replace(changed, strategy="traced").inspect()
    assert after.trained == truth.trained
    assert Code.TAGS_MISPLACED not in codes(after)


def test_split_makes_one_row_per_answer() -> None:
    """Each row ends in its answer, and trains that one only."""
    setup = find_entry("prompt_text_in_loss").setup
    rows = apply_remedy("split_turns", replace(setup, strategy="traced"))
    assert [len(row.conversation) for row in rows] == [2, 4]
    assert [row.modifiers for row in rows] == [{"keep": "last_response"}] * 2
    trained = [
        "".join(text for text, bit in zip(row.example.tokens.texts, row.trained, strict=True) if bit)
        for row in (changed.inspect() for changed in rows)
    ]
    assert trained == ["The capital of France is Paris.<|im_end|>", "The capital of Italy is Rome.<|im_end|>"]


def test_split_trains_what_the_history_loses() -> None:
    """The thought that later turns drop is trained in its own row, and only a note in the next."""
    first, second = (row.inspect() for row in apply_remedy("split_turns", find_entry("content_lost").setup))
    assert models.trained_text(second) == "6<|im_end|>"
    assert [(f.code, f.severity) for f in second.findings] == [(Code.CONTENT_LOST, Severity.NOTE)]
    assert models.trained_text(first) == "<think>Two and two.</think>4<|im_end|>"


def test_roles_are_joined_where_the_template_refuses() -> None:
    """The finding of a refusal offers the remedy, and the conversation then renders."""
    setup = find_entry("roles_must_alternate").setup
    model, conversation = setup.load(), inspector.Conversation.parse(setup.conversation)
    with pytest.raises(InspectorError) as refused:
        setup.inspect()
    finding = inspector.diagnose(model, conversation, refused.value)
    assert finding is not None
    assert [remedy.name for remedy in offers_for_refusal(finding)] == ["join_messages"]
    (changed,) = apply_remedy("join_messages", setup)
    assert changed.conversation[1]["content"] == "Hi.\n\nHow can I help?"
    assert changed.inspect().findings == ()


def test_content_is_written_as_text_where_the_template_refuses_it() -> None:
    """Null becomes an empty text, and the conversation renders."""
    setup = find_entry("content_unsupported").setup
    with pytest.raises(InspectorError) as refused:
        setup.inspect()
    finding = inspector.diagnose(setup.load(), inspector.Conversation.parse(setup.conversation), refused.value)
    assert finding is not None
    assert [remedy.name for remedy in offers_for_refusal(finding)] == ["write_plain_content"]
    (changed,) = apply_remedy("write_plain_content", setup)
    assert changed.conversation[0] == {"role": "system", "content": ""}
    assert models.trained_text(changed.inspect()) == "The capital of France is Paris.<|im_end|>"


def test_stop_tokens_are_added_with_what_opens_turns(tmp_path: Path) -> None:
    """ChatML on a tokenizer that knows none of it: the end is eos, the start one token; the answer ends in one id."""
    turn = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    prompt = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    source = "{% for m in messages %}" + turn + "{% endfor %}" + prompt
    models.trained_tokenizer(["<s>"], bos_token="<s>").save_pretrained(tmp_path)
    setup = Setup(model=str(tmp_path), conversation=CHAT, template=source)
    (changed,) = apply_remedy("add_stop_tokens", setup)
    assert changed.special_tokens["eos_token"] == "<|im_end|>"
    assert changed.special_tokens["additional_special_tokens"] == ["<|im_start|>"]
    shown = changed.inspect()
    assert Code.STOP_IS_TEXT not in codes(shown)
    assert models.trained_text(shown).endswith("<|im_end|>")
    with pytest.raises(RemedyError, match="A special token ends this template's answers already"):
        apply_remedy("add_stop_tokens", changed)


def test_clean_example_has_no_offers() -> None:
    """Nothing found, nothing to do."""
    assert offers(Setup(model="tiny-chat", conversation=CHAT).inspect()) == {}


def test_unknown_remedy_is_refused() -> None:
    """With the names there are."""
    with pytest.raises(RemedyError, match="no remedy 'pray'; there are: drop_generation_prompt, "):
        apply_remedy("pray", Setup(model="tiny-chat", conversation=CHAT))


def test_remedy_without_effect_is_refused() -> None:
    """A button that changed nothing would lie."""
    with pytest.raises(RemedyError, match="Strip the answers: nothing to change here"):
        apply_remedy("strip_answers", Setup(model="tiny-chat", conversation=CHAT))


def test_system_text_needs_a_question_to_go_into() -> None:
    """There is none: the error says so, and nothing is lost."""
    chat = [{"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "Hi."}]
    with pytest.raises(RemedyError, match="no user message with plain text"):
        apply_remedy("fold_system", Setup(model="tiny-chat", conversation=chat))


def test_verified_ids_need_constant_headers() -> None:
    """Where no constant ids stand before the answers, the advice is the error."""
    source = "{% for m in messages %}{{ m.content }}{% endfor %}"
    setup = Setup(
        model="tiny-chat", conversation=CHAT, template=source, strategy="home_llm",
        options={"prefix_ids": [9], "suffix_ids": [3]},
    )  # fmt: skip
    with pytest.raises(RemedyError, match="The ids find 0 of "):
        apply_remedy("use_verified_ids", setup)


def test_unproven_template_is_not_offered_as_a_remedy() -> None:
    """What cannot be proven is refused with its reason."""
    setup = Setup(
        model="tiny-chat", conversation=CHAT, template="{{ messages[0].content }}", strategy="generation_tags"
    )
    with pytest.raises(RemedyError, match="No training template can be proven: "):
        apply_remedy("use_training_template", setup)


def test_padding_token_is_never_one_in_use() -> None:
    """The vocabulary's own padding token, an unknown token that no text becomes, or a new one; not eos, not bos."""
    model = inspector.load("tiny-chat")
    assert free_pad_token(model) == "<|pad|>"
    assert free_pad_token(model.with_special_tokens({"eos_token": "<|pad|>"})) == "[PAD]"
    slow = inspector.load("bytes-slow")
    assert free_pad_token(slow) == "<unk>"
    assert slow.tokenizer.unk_token_id not in slow.tokenizer("\U00013080", add_special_tokens=False)["input_ids"]
    assert free_pad_token(slow.with_special_tokens({"eos_token": "<unk>"})) == "[PAD]"


def test_an_unknown_token_that_texts_become_is_not_for_padding() -> None:
    """A tokenizer of two words writes it for all others."""
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(WordLevel({"<s>": 0, "a": 1, "<unk>": 2}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", eos_token="<s>")
    assert free_pad_token(models.model_of(tokenizer, "{{ messages[0].content }}")) == "[PAD]"


@pytest.mark.parametrize(
    ("special", "pad"),
    [
        (["<|finetune_right_pad_id|>", "<|reserved_special_token_0|>"], "<|finetune_right_pad_id|>"),
        (["<|reserved_special_token_0|>"], "<|reserved_special_token_0|>"),
        ([], "[PAD]"),
    ],
)
def test_a_tokenizer_without_a_padding_token_is_found_and_given_one(
    tmp_path: Path, special: list[str], pad: str
) -> None:
    """As Llama 3's: a token of the vocabulary that nothing else uses, else a new one, which needs an embedding."""
    names = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", *special]
    tokenizer = models.trained_tokenizer(names, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", pad_token=None)
    tokenizer.chat_template = models.oracle.stored_templates()["trl/llama3"]
    tokenizer.save_pretrained(tmp_path)
    before = Setup(model=str(tmp_path), conversation=CHAT).inspect()
    (finding,) = (f for f in before.findings if f.code is Code.PAD_IS_EOS)
    assert finding.severity is Severity.NOTE
    assert "has no padding token, and trainers take eos, '<|eot_id|>' (id 3). A collator that masks" in finding.detail
    assert "set_pad_token" in [offer.name for offer in offers(before)[Code.PAD_IS_EOS]]
    (changed,) = apply_remedy("set_pad_token", Setup(model=str(tmp_path), conversation=CHAT))
    assert changed.special_tokens == {"pad_token": pad}
    after = changed.inspect()
    assert Code.PAD_IS_EOS not in codes(after)
    grown = len(after.model.tokenizer) - len(before.model.tokenizer)
    assert grown == (0 if special else 1)
    assert (after.ids, after.trained) == (before.ids, before.trained)


def test_every_remedy_is_tested() -> None:
    """A new remedy needs its example here."""
    own = {"leave_straddlers_out", "use_training_template", "join_messages", "write_plain_content"}
    assert {remedy for _, remedy in HEALS} | own == set(REMEDIES)
