"""Models made in the tests: small tokenizers with real chat templates, and what the templates make of an answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from inspector.inspection import Inspection
from inspector.model.model import Model, Source
from tests import oracle

TEXTS = [
    "Which river runs through Vienna? The Danube. And through Cairo? The Nile.\n\n",
    "assistant user system tool think The answer is one word.\n\nAnswer in one word.\n",
    "Hello! How are you?\n\nI am fine, thank you.\n Say what comes after Monday: Tuesday.\t",
    "One\n\nTwo\n\nThree\n\n",
    "維也納 多瑙河 é ü ñ 👩‍👩‍👧 🇦🇹 😀 naïve café",
] * 20

WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""How Llama 3 and Qwen cut text before merging: line breaks join what stands before them."""

SPECIAL = {
    "chatml": ["<|im_start|>", "<|im_end|>"],
    "llama3": ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "qwen3": ["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
    "tiny-chat": ["<|im_start|>", "<|im_end|>", "<|tool_call|>"],
}
SOURCES = {
    "chatml": "built in/chatml",
    "llama3": "trl/llama3",
    "qwen3": "trl/qwen3",
    "tiny-chat": "tiny-chat",
}
STOPS = {"chatml": "<|im_end|>", "llama3": "<|eot_id|>", "qwen3": "<|im_end|>", "tiny-chat": "<|im_end|>"}


def trained_tokenizer(special: list[str], **named: str | None) -> Any:
    """A byte-level BPE tokenizer with merges, also of line breaks and of bytes within a character, and a pad token."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(WORDS), "isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        show_progress=False,
    )
    core.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, **{"pad_token": "<|pad|>", **named})


def model_of(tokenizer: Any, template: str, name: str = "made-in-the-test") -> Model:
    """A model of a tokenizer and a template's source."""
    return Model(
        name=name,
        revision=None,
        source=Source.FOLDER,
        tokenizer=tokenizer,
        templates={"default": template},
        template=template,
        template_name="default",
        template_is_chosen=False,
        is_fast=bool(tokenizer.is_fast),
    )


@lru_cache(maxsize=8)
def model(name: str) -> Model:
    """chatml, llama3, qwen3 or tiny-chat: that template, with a tokenizer trained here."""
    special = SPECIAL[name]
    tokenizer = trained_tokenizer(special, eos_token=STOPS[name], bos_token=special[0])
    return model_of(tokenizer, oracle.stored_templates()[SOURCES[name]], name)


ANSWERS: dict[str, Callable[[str, bool], str]] = {
    "chatml": lambda content, is_last: content,
    "llama3": lambda content, is_last: content.strip(),
    "qwen3": lambda content, is_last: (
        "<think>\n\n</think>\n\n" + content.lstrip("\n") if is_last else content
    ),
    "tiny-chat": lambda content, is_last: content,
}  # fmt: skip
"""Template -> what it has the model write for a content, and whether it is the answer to the last question."""


def trained_text(inspection: Inspection) -> str:
    """The text of the trained tokens; a character that several of them encode is there once."""
    pieces = inspection.example.tokens.pieces()
    return "".join(piece for piece, bit in zip(pieces, inspection.trained, strict=True) if bit)


def token_index(inspection: Inspection, text: str) -> int:
    """The one token that has this text."""
    found = [i for i, own in enumerate(inspection.example.tokens.texts) if own == text]
    assert len(found) == 1, (text, found)
    return found[0]
