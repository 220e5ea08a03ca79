"""OpenRLHF's SFT data set: a prompt and what the whole render has after as many characters, tokenized as one text.

OpenRLHF 0.11. Written from docs/strategies.md (D20), which was checked against its code; nothing is copied.
"""

from __future__ import annotations

from dataclasses import replace

from inspector.conversation import Conversation
from inspector.errors import StrategyRefusedError
from inspector.rendering.rendered import Rendered, joined, template_text
from inspector.strategies.base import Example, Labelled, facts
from inspector.strategies.joined.row import Piece, check_images, labelled_row, piece, rendering


@facts("OpenRLHF", "train_sft, apply_chat_template", version="0.11.2")
def openrlhf(example: Example, *, multiturn: bool = False) -> Labelled:
    """Train what follows the prompt of the last message, or with `multiturn` the answers, by counts of tokens.

    An answer is what the render has after as many characters as the prompt with a generation prompt; it begins after as
    many tokens as that prompt has alone. Line ends are taken off the row's end, and the eos token is put there where it
    is not. Tools and template keywords are dropped.

    Raises StrategyRefusedError where OpenRLHF stops or drops the row: nothing before an answer, an empty answer, a
    prompt that the template refuses, no eos token. Source: OpenRLHF's `sft_dataset.py`, docs/strategies.md D20.
    """
    check_images(example, "OpenRLHF")
    messages = example.conversation.messages
    ends = [index for index, message in enumerate(messages) if message["role"] == "assistant"] if multiturn else []
    lasts = [*ends, len(messages) - 1]
    if 0 in lasts:
        raise StrategyRefusedError(
            "OpenRLHF stops at this row: it renders what stands before an answer, and that is no message at all."
        )
    asked = [_conversation(example, last, opens=True) for last in lasts]
    whole = [_conversation(example, last + 1) for last in lasts]
    texts = example.texts([*asked, *whole], about=_about)
    prompts, answers = (
        texts[: len(lasts)],
        [text[len(prompt) :] for prompt, text in zip(texts, texts[len(lasts) :], strict=False)],
    )
    if not prompts[-1] or not answers[-1]:
        raise StrategyRefusedError("OpenRLHF drops this row: its prompt or its answer is empty.")
    row = _row(example, prompts[-1], answers[-1], asked[-1], whole[-1])
    mask = [False] * len(row.ids)  # of the places that predict a token, each one before it
    starts = [len(ids) for ids in example.ids_of_all(prompts)]
    if multiturn:
        counts = [len(ids) for ids in example.ids_of_all(answers)]
        for start, count in zip(starts[:-1], counts[:-1], strict=True):
            _set(mask, start - 1, start + count - 1)
    else:
        _set(mask, starts[-1] - 1, -1)
    return labelled_row(example, [replace(row, trained=(False, *mask[:-1]))], "OpenRLHF")


def _set(mask: list[bool], start: int, stop: int) -> None:
    """Set a slice, which Python may count from the end."""
    mask[start:stop] = [True] * len(mask[start:stop])


def _conversation(example: Example, count: int, opens: bool = False) -> Conversation:
    keywords = {"add_generation_prompt": opens}
    return Conversation(messages=example.conversation.messages[:count], keywords=keywords)


def _about(conversation: Conversation) -> str:
    return f"OpenRLHF renders the first {len(conversation.messages)} messages, without tools and template keywords"


def _row(example: Example, prompt: str, answer: str, asked: Conversation, whole: Conversation) -> Piece:
    """The row's tokens; the last is the eos token whatever the text gives."""
    tokenizer = example.tokenizer
    if tokenizer.eos_token is None or tokenizer.eos_token_id is None:
        raise StrategyRefusedError("OpenRLHF stops: the tokenizer has no eos token.")
    text = (prompt + answer).rstrip("\n")
    end = "" if text.endswith(str(tokenizer.eos_token)) else f" {tokenizer.eos_token}"

    def source() -> Rendered:
        first, second = rendering(example, asked)(), rendering(example, whole)()
        if second.text.startswith(prompt):
            return joined([second.part(0, len(text)), template_text(end)])
        rest = second.part(len(prompt), len(second.text))
        return joined([joined([first, rest]).part(0, len(text)), template_text(end)])

    row = piece(example, text + end, source)
    return replace(row, ids=(*row.ids[:-1], tokenizer.eos_token_id))
