"""A row with our names for its columns -> a Sample: one reader for each layout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inspector.conversation import TEXT_ROLE, Change, Conversation, Message, Step
from inspector.data.columns import Columns, is_chat
from inspector.data.dialects import best_path, exchange, is_tree, speaker
from inspector.data.labelled import read_labelled, read_segments
from inspector.data.verdicts import best_and_worst, judged
from inspector.errors import FormatError, kind_of, quoted
from inspector.model.tokenizer import Tokenizer

ANSWERS = ("completion", "output", "answer")
"""Columns that hold an answer."""
ALL_ANSWERS = (*ANSWERS, "solution")
"""The same, and the answer to a `problem`; next to a `prompt` that column is only a reference to check against."""


ALPACA_PREAMBLE = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request."
)
"""The start of an Alpaca prompt for a row with an input; the `alpaca` template has the other one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A row that was read. `conversation`: the row, or the chosen answer of a pair; a text is one message of role
    `text`, ids and labels have no message.

    `rejected`: the other answer of a pair. `is_good`: KTO's label. `prompt_messages`: the number of messages before the
    judged ones; in a pair, the messages that both answers share.
    """

    conversation: Conversation
    rejected: Conversation | None = None
    is_good: bool | None = None
    prompt_messages: int = 0


def is_answer(message: Mapping[str, Any]) -> bool:
    """Whether a message is the assistant's, by its role or by ShareGPT's name of the speaker."""
    return speaker(message) in ("assistant", "gpt", "model", "bot", "ai")


def answered(messages: Sequence[Message]) -> int:
    """The number of messages before the answer: up to the last one that is not an answer."""
    return max((i + 1 for i, message in enumerate(messages) if not is_answer(message)), default=0)


def holds_prompt(value: Any) -> bool:
    """Whether the messages of an answer also hold its prompt."""
    return isinstance(value, list | tuple) and is_chat(value) and answered(value) > 0


def read_messages(columns: Columns) -> Sample:
    """A chat, with the turns of `history` before it."""
    history, messages, count = columns.history(), _chat(columns), columns["prompt_messages"]
    if count is not None and type(count) is not int:
        raise FormatError(
            f"The column {columns.names['prompt_messages']!r} is {quoted(count)}, and must be the number of messages "
            "that are the prompt."
        )
    return Sample(conversation=columns.conversation([*history, *messages], len(history) + count if count else 0))


def _chat(columns: Columns) -> list[Message]:
    """The row's messages; in a tree, those along the best-ranked replies."""
    if "tree" not in columns.names:
        return columns.chat("messages")
    tree, where = columns["tree"], columns.names["tree"]
    if not is_tree(tree):
        raise FormatError(f"The column {where!r} is {kind_of(tree)}, and must be a message with its replies.")
    messages, left_out = best_path(tree)
    if left_out:
        columns.changes.append(Change(Step.RANKING, f"{where}, of whose replies {left_out} are left out"))
        if not columns.does(Step.RANKING):
            raise FormatError(f"The column {where!r} has {left_out} more replies: it is not one conversation.")
    return [columns.message(message, f"{where}, message {i}") for i, message in enumerate(messages)]


def _prompt(columns: Columns) -> list[Message]:
    """The messages before the answer, in whatever form the row has them."""
    names = columns.names
    if "messages" in names:
        messages = columns.chat("messages")
    elif "instruction" in names:
        texts = [columns.text("instruction"), columns.text("input") if "input" in columns else ""]
        messages = [{"role": "user", "content": "\n\n".join(filter(None, texts))}]
    else:
        name = next((name for name in ("prompt", "question", "problem", "input") if name in columns), "")
        if not name and isinstance(columns["history"], str):  # the conversation before the answers, as in SHP
            return columns.messages("history", "user")
        messages = columns.messages(name, "user") if name else []
    return [*columns.history(), *messages]


def _answer_name(columns: Columns) -> str:
    return next(name for name in ALL_ANSWERS if name in columns.names)


def read_exchange(columns: Columns) -> Sample:
    """A prompt and its answer."""
    name = _answer_name(columns)
    for text in ("prompt", "question", "problem", name):
        if text in columns.names and columns[text] is None:
            columns.text(text)  # which says that it is missing
    prompt = _prompt(columns)
    if "prompt" in columns.names and isinstance(columns["prompt"], str) and isinstance(columns[name], str):
        if not columns.does(Step.TURNS):
            raise FormatError("Prompt and completion are texts without turns: read them with format=text.")
        columns.changes.append(Change(Step.TURNS, f"{columns.names['prompt']} and {columns.names[name]}"))
    messages = [*prompt, *columns.messages(name, "assistant", is_dialogue=False)]
    conversation, count = columns.parted(messages, len(prompt))
    return Sample(conversation=conversation, prompt_messages=count)


def read_unpaired(columns: Columns) -> Sample:
    """An exchange, or a chat, that is judged good or bad."""
    is_good = judgement(columns["label"])
    if is_good is None:
        raise FormatError(
            f"The column {columns.names['label']!r} is {quoted(columns['label'])}, and must be true or false."
        )
    if "messages" not in columns.names:
        return replace(read_exchange(columns), is_good=is_good)
    conversation = columns.conversation([*columns.history(), *columns.chat("messages")])
    return Sample(conversation=conversation, is_good=is_good, prompt_messages=answered(conversation.messages))


def judgement(label: Any) -> bool | None:
    """Whether a label says good or bad; None for another value."""
    value = label.lower() if isinstance(label, str) else label
    return True if value in ("true", "1", 1) else False if value in ("false", "0", 0) else None


def read_preference(columns: Columns) -> Sample:
    """The chosen and the rejected answer, each with the prompt in front if it does not already hold it."""
    if "first" in columns.names:
        columns = judged(columns)
    elif "ranked" in columns.names:
        columns = best_and_worst(columns)
    if "chosen" not in columns.names:  # the answer in the messages is the chosen one
        messages = columns.chat("messages")
        at = answered(messages)
        prompt, sides = [*columns.history(), *messages[:at]], [messages[at:]]
    else:
        prompt = _prompt(columns)
        sides = [columns.messages("chosen", "assistant", is_dialogue=_may_hold_prompt(columns, prompt))]
    sides.append(columns.messages("rejected", "assistant", is_dialogue=_may_hold_prompt(columns, prompt)))
    if sides[0] == sides[1]:
        raise FormatError("chosen and rejected are the same")
    held = [side[: answered(side)] for side in sides]
    if any(held) and not all(held) and not prompt and columns.does(Step.PAIRS):
        prompt = next(filter(None, held))
        columns.changes.append(Change(Step.PAIRS, columns.names["rejected" if held[0] else "chosen"]))
    asked = [own or prompt for own in held]
    if all(asked) and _questions(asked[0]) != _questions(asked[1]):
        columns.changes.append(Change(Step.PAIRS, "chosen and rejected", _last_text(asked[0]), _last_text(asked[1])))
    lengths = [0 if own else len(prompt) for own in held]
    whole = [side if own else [*prompt, *side] for own, side in zip(held, sides, strict=True)]
    both = [columns.conversation(messages, count) for messages, count in zip(whole, lengths, strict=True)]
    answers = [conversation.messages for conversation in both]
    common = next((i for i, (a, b) in enumerate(zip(*answers, strict=False)) if a != b), min(map(len, answers)))
    return Sample(conversation=both[0], rejected=both[1], prompt_messages=common)


def _may_hold_prompt(columns: Columns, prompt: Sequence[Message]) -> bool:
    """Whether an answer's text can be the whole chat: without a prompt, or if the prompt is such a text too."""
    return not prompt or any(change.step is Step.DIALOGUES for change in columns.changes)


def _questions(messages: Sequence[Message]) -> list[Message]:
    """The prompt without its answers: two whole chats may differ in earlier answers."""
    return [message for message in messages if not is_answer(message)]


def _last_text(messages: Sequence[Message]) -> Any:
    return messages[-1].get("content")


def read_alpaca_prompt(columns: Columns) -> Sample:
    """An exchange in Alpaca's own prompts."""
    instruction, extra = columns.text("instruction"), columns.text("input") if "input" in columns else ""
    if not extra:
        return Sample(conversation=columns.conversation(exchange(instruction, columns.text("output"))))
    messages = exchange(f"{instruction}\n\n### Input:\n{extra}", columns.text("output"))
    return Sample(conversation=columns.conversation([{"role": "system", "content": ALPACA_PREAMBLE}, *messages]))


def read_text(columns: Columns) -> Sample:
    """A rendered text, or the texts of prompt and completion; no template puts them into turns."""
    if "text" in columns.names:
        return Sample(conversation=Conversation.parse([{"role": TEXT_ROLE, "content": columns.text("text")}]))
    texts = [("user", columns.text("prompt")), ("assistant", columns.text("completion"))]
    messages = [{"role": role, "content": text} for role, text in texts]
    return Sample(conversation=Conversation.parse({"messages": messages, "prompt_messages": 1}), prompt_messages=1)


def read_labels(columns: Columns) -> Sample:
    """Ids and labels as they are."""
    return Sample(conversation=read_labelled(columns))


def read_shifted_labels(columns: Columns) -> Sample:
    """Ids, with labels or a mask that are one token early."""
    return Sample(conversation=read_labelled(columns, shifted=True))


def read_own_segments(columns: Columns) -> Sample:
    """Texts with labels as they are."""
    return Sample(conversation=read_segments(columns))


NO_TEMPLATE = "none"
"""The name to choose instead of a template if the rows are rendered texts."""
ANY_TEMPLATE = "{{ messages[0].content }}"
"""The template that a model is loaded with for rendered texts; the template for texts replaces it."""


def text_template(tokenizer: Tokenizer, *, add_eos: bool = True) -> str:
    """The chat template for rows that are rendered texts: it writes the text as trl's SFTTrainer tokenizes it.

    It adds the special tokens that the tokenizer adds, and with `add_eos` also eos, if the text does not end in it.
    """
    alone, whole = (tokenizer("a", add_special_tokens=added, verbose=False)["input_ids"] for added in (False, True))
    at = next((i for i in range(len(whole)) if whole[i : i + len(alone)] == alone), 0)
    before = "".join(tokenizer.convert_ids_to_tokens(whole[:at]))
    after = "".join(tokenizer.convert_ids_to_tokens(whole[at + len(alone) :]))
    end = "{{ eos_token if eos_token and not message.content.endswith(eos_token) }}"
    end = f"{{% if loop.last %}}{end if add_eos and not after else ''}{{{{ {json.dumps(after)} }}}}{{% endif %}}"
    loop = f"{{% for message in messages %}}{{{{ message.content }}}}{end}{{% endfor %}}"
    return f"{{{{ {json.dumps(before)} }}}}{loop}"
