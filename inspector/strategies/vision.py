"""TRL on rows with images: the collator that its SFTTrainer uses for them, in which a processor makes the row.

Written from trl 1.16 (`DataCollatorForVisionLanguageModeling`, `prepare_multimodal_messages`), and proved equal to it
in the tests.
"""

from __future__ import annotations

from dataclasses import replace

from inspector.conversation import Conversation, Message, Step
from inspector.errors import StrategyRefusedError
from inspector.pictures import IN_PARTS, IN_TAGS, TAG
from inspector.strategies.base import Example, Labelled, facts
from inspector.strategies.tags import check_length, has_tags, overlap_bits, training_twin

_ROLES = frozenset({"system", "user", "assistant", "tool"})


@facts(
    "TRL", "SFTTrainer, on rows with images", title="TRL, images", version="1.16", makes=frozenset({Step.IMAGES}),
    takes_images=True, is_known=True,
)  # fmt: skip
def trl_vision(example: Example, *, assistant_only: bool = False, max_length: int | None = None) -> Labelled:
    """Train what TRL's SFTTrainer trains in a row with images: every token, including those that stand for images.

    TRL passes every text to the template as a list of one part, without tools and template keywords.
    `assistant_only`: `assistant_only_loss=True`, the tokens in the template's generation spans, or in those of the twin
    that trl stores for it. `max_length`: TRL truncates the row to it. Raises StrategyRefusedError if TRL stops.
    Source: trl 1.16, docs/strategies.md D28.
    """
    check_length(max_length)
    _check(example)
    _check_places(example)
    row = example.reworked(_as_trl_has_it(example.conversation), "TRL")
    if why := next((picture.why for picture in row.pictures if picture.why), ""):
        raise StrategyRefusedError(f"TRL stops at this row: {why}")
    bits, warnings = [True] * len(row), []
    if assistant_only:
        trained = row if has_tags(row.template) else row.remake(row.conversation, training_twin(row.template))
        if trained.rendered.text != row.rendered.text:
            warnings.append("TRL's twin writes another text than the model's template: this is the text it trains on.")
        row, bits = trained, overlap_bits(trained.tokens.char_spans, trained.rendered.generation_spans)
    kept = len(row) if max_length is None else min(max_length, len(row))
    _check_images(row, kept)
    changed = row if row.tokens.ids != example.tokens.ids else None
    return Labelled.by_rule(bits, cut=range(kept, len(row)), warnings=warnings, example=changed)


def _check(example: Example) -> None:
    if not example.pictures:
        raise StrategyRefusedError("TRL takes this collator for rows with images, and the row has none.")
    if example.conversation.prompt_messages:
        raise StrategyRefusedError(
            "TRL tokenizes prompt and completion of a row with images apart, which is not reproduced here. Give the "
            "row as `messages`."
        )
    unknown = next(
        (message["role"] for message in example.conversation.messages if message["role"] not in _ROLES), None
    )
    if unknown is not None:
        raise StrategyRefusedError(f"TRL stops at the role {unknown!r}: it knows {', '.join(sorted(_ROLES))}.")


def _check_places(example: Example) -> None:
    """Raise StrategyRefusedError if TRL puts the images of a column in other places than shown."""
    ways = [change.where for change in example.conversation.changes if change.step is Step.IMAGES]
    if any(way.endswith(IN_TAGS) for way in ways):
        raise StrategyRefusedError(
            f"TRL reads no {TAG}: it puts the images before the first text of the user, and trains the tag as text. "
            'Give the row parts {"type": "image"}.'
        )
    in_tool = any(example.conversation.role(picture.message) == "tool" for picture in example.pictures)
    if in_tool and any(way.endswith(IN_PARTS) for way in ways):
        raise StrategyRefusedError("TRL stops at this row: it fills no images of a column into messages of tools.")


def _as_trl_has_it(conversation: Conversation) -> Conversation:
    return replace(
        conversation, messages=tuple(map(_in_parts, conversation.messages)), tools=None, documents=None, keywords={}
    )


def _in_parts(message: Message) -> Message:
    content = message.get("content")
    return {**message, "content": [{"type": "text", "text": content}]} if isinstance(content, str) else message


def _check_images(row: Example, kept: int) -> None:
    """Raise StrategyRefusedError if truncation cuts through images: the processor compares text and ids."""
    end = row.tokens.char_spans[kept - 1][1]
    cut = [picture for picture in row.pictures if picture.span is not None and picture.span[1] > end]
    if cut:
        raise StrategyRefusedError(
            f"TRL stops at this row: max_length {kept} cuts tokens of the image of {cut[0].where}, and the processor "
            f"refuses text and tokens that differ in them. Raise max_length to {len(row)}."
        )
