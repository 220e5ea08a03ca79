"""verl's `MultiTurnSFTDataset`: each message is rendered alone, and the ids are joined.

verl 0.9.1. Written from docs/strategies.md (D17), which was checked against its code; nothing is copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from inspector.conversation import Conversation, JsonValue, Message
from inspector.errors import StrategyRefusedError
from inspector.strategies.base import Example, Labelled, facts
from inspector.strategies.joined.row import Piece, check_images, labelled_row, piece, rendering, without_start

_EMPTY: Message = {"role": "user", "content": ""}
_EMPTY_PARTS: Message = {"role": "user", "content": [{"type": "text", "text": ""}]}


@facts("verl", "MultiTurnSFTDataset", version="0.9.1")
def verl(example: Example, *, ignore_input_ids_mismatch: bool = False) -> Labelled:
    """Train each assistant message from as many tokens on as the generation prompt has, to its render's end.

    A message is rendered alone, the first with the tools. Of those after it, but for system messages, as many tokens
    are cut off as the template writes before a first question. A message that the template refuses alone is rendered
    after an empty question, which is cut off again. `ignore_input_ids_mismatch`: train the joined ids where they are
    not those of the whole conversation.

    Raises StrategyRefusedError where verl stops: the ids differ and are not to be ignored, a message has no content, or
    the template refuses an empty question, two of them, or a message in both ways. Source: verl's
    `multiturn_sft_dataset.py` and `chat_template.py`, docs/strategies.md D17.
    """
    given = example
    check_images(given, "verl")
    empty = next((i for i, message in enumerate(given.conversation.messages) if "content" not in message), None)
    if empty is not None:
        raise StrategyRefusedError(f"verl stops at this row: message {empty} has no content.")
    example = given.reworked(_without_prompt(given.conversation), "verl")
    pieces = _pieces(example)
    if not ignore_input_ids_mismatch and [id for one in pieces for id in one.ids] != list(example.tokens.ids):
        raise StrategyRefusedError(
            "verl stops at this row: the messages rendered one by one do not give the ids of the whole conversation. "
            "With ignore_input_ids_mismatch it trains the joined ones."
        )
    labelled = labelled_row(example, pieces, "verl")
    return labelled if labelled.example or example is given else replace(labelled, example=example)


def _without_prompt(conversation: Conversation) -> Conversation:
    """The conversation that verl renders: it reads no generation prompt, and of enable_thinking whether it is set."""
    unread = ("add_generation_prompt", "enable_thinking")
    keywords = {name: value for name, value in conversation.keywords.items() if name not in unread}
    if (thinks := conversation.keywords.get("enable_thinking")) is not None:
        keywords["enable_thinking"] = bool(thinks)
    return replace(conversation, keywords=keywords)


def _pieces(example: Example) -> list[Piece]:
    conversation = example.conversation
    before, prompt = _counts(example)
    alone = [
        replace(conversation, messages=(message,), tools=None if index else conversation.tools)
        for index, message in enumerate(conversation.messages)
    ]
    pieces = []
    for index, one in enumerate(alone):
        role = one.role(0)
        found = _rendered(example, one, index)
        if index and role != "system":
            found = without_start(found, before)
        trained = tuple(role == "assistant" and place >= prompt for place in range(len(found.ids)))
        pieces.append(replace(found, trained=trained))
    return pieces


def _counts(example: Example) -> tuple[int, int]:
    """How many tokens the template writes before a first question, and in a generation prompt, by verl's count."""
    keywords = {name: value for name, value in example.conversation.keywords.items() if name != "enable_thinking"}
    one, two, opened = example.ids_of_all(
        example.texts(
            [_asked(example, keywords, 1), _asked(example, keywords, 2), _asked(example, keywords, 1, opens=True)],
            about=lambda _: "verl renders empty questions to tell the template's parts apart",
        )
    )
    return len(one[: -(len(two) - len(one))]), len(opened[len(one) :])


def _asked(example: Example, keywords: Mapping[str, JsonValue], times: int, opens: bool = False) -> Conversation:
    return Conversation(
        messages=(_EMPTY,) * times,
        documents=example.conversation.documents,
        keywords={**keywords, "add_generation_prompt": opens},
    )


def _rendered(example: Example, alone: Conversation, index: int) -> Piece:
    """The tokens of a message rendered alone, or after an empty question where the template refuses that."""
    try:
        (text,) = example.texts([alone])
        return piece(example, text, rendering(example, alone, index))
    except StrategyRefusedError:
        asked = replace(alone, messages=(_EMPTY_PARTS,))
        both = replace(alone, messages=(_EMPTY_PARTS, *alone.messages))
    prefix, text = example.texts(
        [asked, both], about=lambda _: f"verl renders message {index} alone and after an empty question"
    )
    whole = piece(example, text, rendering(example, both, index - 1))
    return without_start(whole, len(example.ids_of(prefix)))
