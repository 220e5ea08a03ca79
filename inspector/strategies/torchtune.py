"""torchtune's `HuggingFaceModelTokenizer`: each message is the ids that it adds to the render of the previous ones.

It renders with plain Jinja (see `plain_jinja`), passes only role and content, and ends the row with the header of the
next answer. Written from docs/strategies.md (D27); nothing is copied.
"""

from __future__ import annotations

from collections.abc import Sequence

from inspector.conversation import Conversation, Message, Step
from inspector.errors import RenderError, StrategyError, StrategyRefusedError, excerpt
from inspector.model.tokenizer import Tokenizer
from inspector.rendering.origins import common_start
from inspector.rendering.plain_jinja import keeping_whitespace
from inspector.strategies.base import Example, Labelled, facts
from inspector.strategies.boundaries import shared_length

MASKINGS = ("train_on_assistant", "train_on_last", "train_on_all")
"""The names of the masking strategies in torchtune's data sets."""


@facts(
    "torchtune", "HuggingFaceModelTokenizer", version="2026-04", reads_rows=True, makes=frozenset(Step), is_known=True
)
def torchtune(example: Example, *, masking_strategy: str = "train_on_assistant", add_eos: bool = True) -> Labelled:
    """Train the ids that each assistant message adds to the row, header included, and the header after the last one.

    `masking_strategy`: `train_on_assistant`, `train_on_last` (only the last answer), `train_on_all` (all except system
    messages and questions with images). `add_eos`: the row ends in a generation prompt, which trains if the last
    message does, and in the eos token, which does not train; without it eos replaces the row's last token.

    Tools, template keywords and all fields of a message except its role and the first part of its content are dropped.
    The row is shown as torchtune renders it. Raises StrategyRefusedError if torchtune stops. Source: torchtune's
    `_hf_tokenizer.py` and `validate_messages`, docs/strategies.md D27.
    """
    if masking_strategy not in MASKINGS:
        raise StrategyError(f"masking_strategy is {masking_strategy!r}, and must be one of: {', '.join(MASKINGS)}.")
    given = example.conversation.messages
    encoder = _Encoder(example.tokenizer)
    messages = _messages(given)
    texts = _rendered(example, messages, add_eos)
    ids: list[int] = []
    bits: list[bool] = []
    before = 0
    for encoded, trains in zip(encoder.encode_all(texts), _unmasked(given, masking_strategy), strict=True):
        ids += encoded[before:]
        bits += [trains] * len(encoded[before:])
        before = len(encoded)
    row = _row_of(example, messages, add_eos, texts[-1])
    warnings = [*_about_content(given), *_about_text(row.rendered.text, texts[-1])]
    return _laid_over(row, ids, bits, warnings, add_eos, None if row is example else row)


def _about_content(given: Sequence[Message]) -> list[str]:
    return [
        f"Message {index} has no content: torchtune gives it that of the message before."
        for index, message in enumerate(given)
        if message.get("content") is None
    ]


def _about_text(shown: str, text: str) -> list[str]:
    same = common_start(shown, text)
    if shown == text:
        return []
    return [
        f"Plain Jinja renders another text than the one shown from character {same} on: {excerpt(text, same)} "
        f"instead of {excerpt(shown, same)}."
    ]


def _laid_over(
    row: Example, ids: list[int], bits: list[bool], warnings: list[str], add_eos: bool, changed: Example | None
) -> Labelled:
    """The bits over the tokens of the shown row, and the differences of torchtune's ids."""
    shown, eos = row.tokens.ids, row.tokenizer.eos_token
    if not add_eos and ids and ids[-1] != row.tokenizer.eos_token_id:
        warnings.append(f"torchtune overwrites the row's last token with {eos}.")
    lead = next((n for n in (0, 1) if tuple(ids[n : n + len(shown)]) == tuple(shown)), 0)
    if lead:
        also = "; the first token shown, which then has one before it, is trained" if bits[1:2] == [True] else ""
        warnings.append(f"torchtune puts {row.tokenizer.decode(ids[:1])} before the row{also}.")
    same = shared_length(ids[lead:], shown)
    if same < max(len(ids) - lead, len(shown)):
        warnings.append(
            f"The row of torchtune has {len(ids)} tokens and is not the one shown from token {same} on: it is put "
            "together from what each message adds to the render of those before."
        )
    if add_eos:
        warnings.append(f"torchtune appends {eos} to the row and does not train it.")
    bits = (bits[lead:] + [False] * len(shown))[: len(shown)]
    return Labelled.by_rule(bits, warnings=warnings, example=changed)


# --- the row


def _messages(given: Sequence[Message]) -> list[Message]:
    """The messages as torchtune passes them to the template. Raises StrategyRefusedError if it refuses them."""
    if len(given) < 2:
        raise _stops("it needs at least two messages")
    before = "assistant"
    messages: list[Message] = []
    for index, message in enumerate(given):
        role = str(message["role"])
        if role in ("tool", "ipython"):
            raise _stops(f"message {index} is a tool's result, and it knows no call that it belongs to")
        if role == "assistant" and before != "user":
            raise _stops(f"message {index} is an answer that does not follow a question")
        if role == before == "user":
            raise _stops(f"messages {index - 1} and {index} are both the user's")
        if role == "system" and index:
            raise _stops(f"message {index} is a system message, which it takes only as the first")
        messages.append({"role": role, "content": _content(index, message, messages)})
        before = role
    return messages


def _content(index: int, message: Message, before: Sequence[Message]) -> str:
    """The text that torchtune takes: the first part of a list; for null, the content of the previous message."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        kept = [part for part in content if part.get("type") in ("text", "image_url")]
        first = kept[0] if kept else {}
        if isinstance(first.get("text"), str) and first["type"] == "text":
            return str(first["text"])
        if first.get("type") == "image_url":
            raise _stops(f"message {index} begins with an image, whose pixels it would write into the text")
        raise _stops(f"message {index} has no part with text")
    if "content" in message and before:
        return str(before[-1]["content"])
    raise _stops(f"message {index} has no content")


def _stops(why: str) -> StrategyRefusedError:
    return StrategyRefusedError(f"torchtune stops at this row: {why}.")


def _unmasked(messages: Sequence[Message], masking_strategy: str) -> list[bool]:
    roles = [message["role"] for message in messages]
    answers = [role == "assistant" for role in roles]
    if masking_strategy == "train_on_assistant":
        return answers
    if masking_strategy == "train_on_last":
        last = max((index for index, is_answer in enumerate(answers) if is_answer), default=None)
        return [index == last for index in range(len(roles))]
    return [
        role != "system" and not (role == "user" and _has_image(message))
        for role, message in zip(roles, messages, strict=True)
    ]


def _has_image(message: Message) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(part.get("type") == "image_url" for part in content)


def _conversation(messages: Sequence[Message], opens: bool) -> Conversation:
    keywords = {"add_generation_prompt": opens}
    return Conversation(messages=tuple(messages), tools=None, documents=None, keywords=keywords)


def _rendered(example: Example, messages: Sequence[Message], add_eos: bool) -> list[str]:
    """The texts of the growing conversation, the last one with a generation prompt if eos is added."""
    counts = range(1, len(messages) + 1)
    wanted = [_conversation(messages[:count], add_eos and count == len(messages)) for count in counts]
    return example.texts(wanted, plain_jinja=True, about=_rendered_part)


def _rendered_part(conversation: Conversation) -> str:
    count = len(conversation.messages)
    return f"torchtune renders the first {count} messages with plain Jinja, without tools and template keywords"


def _row_of(example: Example, messages: Sequence[Message], add_eos: bool, text: str) -> Example:
    """The example with torchtune's text, or with the longest common start; this example if no other can be made."""
    if text == example.rendered.text:
        return example
    try:
        row = example.remake(_conversation(messages, add_eos), keeping_whitespace(example.template))
    except RenderError:
        return example
    return max(row, example, key=lambda made: (common_start(made.rendered.text, text), made is row))


class _Encoder:
    """The tokenizer as torchtune uses it: with the tokens that tokenizer.json adds, and one bos in any case."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        if getattr(tokenizer, "backend_tokenizer", None) is None:
            raise StrategyRefusedError("torchtune does not load this tokenizer: it has no tokenizer.json.")
        self.bos, self.bos_id = tokenizer.bos_token, tokenizer.bos_token_id
        if self.bos is None or tokenizer.eos_token is None:
            missing = "bos_token" if self.bos is None else "eos_token"
            raise StrategyRefusedError(f"torchtune does not load this tokenizer: it has no {missing}.")
        self.backend = tokenizer.backend_tokenizer
        self.adds_bos = self.bos_id in self.backend.encode("").ids

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text."""
        encoded = self.backend.encode_batch(list(texts))
        return [self._with_one_bos(text, list(one.ids)) for text, one in zip(texts, encoded, strict=True)]

    def _with_one_bos(self, text: str, ids: list[int]) -> list[int]:
        if str(self.bos) in text:
            return ids[1:] if self.adds_bos else ids
        return ids if self.adds_bos or self.bos_id is None else [self.bos_id, *ids]
