"""NVIDIA's NeMo: Automodel's chat data set, and NeMo RL's SFT. Both look at how the render grows with each message.

NeMo Automodel 0.7, NeMo RL 2026-08. Written from docs/strategies.md (D18, D19), which was checked against their code;
nothing is copied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from inspector.conversation import Conversation, Message, Step
from inspector.errors import StrategyRefusedError
from inspector.rendering.origins import common_start
from inspector.rendering.rendered import Rendered, joined, template_text
from inspector.strategies.base import Example, Labelled, facts
from inspector.strategies.joined.row import Piece, check_images, labelled_row, piece, rendering
from inspector.strategies.tags import generation_tags

_TAG = re.compile(r"\{%-?\s+generation\s+-?%\}")
_ROLES = ("system", "user", "assistant", "tool")


def automodel_conversation(given: Conversation, template: str = "") -> Conversation:
    """What Automodel's chat data set hands to a template. Raises StrategyRefusedError where it refuses a message."""
    messages = tuple(_message(index, message) for index, message in enumerate(given.messages))
    return Conversation(messages=messages, tools=given.tools or None)


@facts(
    "NeMo Automodel", "ChatDataset", version="0.7", changes=automodel_conversation, reads_rows=True,
    makes=frozenset({Step.CONTENT, Step.TOOLS}), reads_tags=True,
)  # fmt: skip
def nemo_automodel(example: Example, *, mask_history: bool = False, mask_generation_prompt: bool = False) -> Labelled:
    """Train the tokens by which the render grows with each assistant message, or what generation tags mark.

    Content of parts becomes their texts, joined by blanks; calls get their arguments as JSON text; template keywords
    are dropped. `mask_history`: the last run of trained tokens alone. `mask_generation_prompt`: what a generation
    prompt writes at the start of an answer is left out.

    Raises StrategyRefusedError where Automodel stops: a prefix that renders to other tokens than the whole begins with
    (its last one may be another if it is the eos token), an answer without anything before it, no answer, a role that
    it does not know. Source: NeMo Automodel's `chat_dataset.py` and `formatting_utils.py`, docs/strategies.md D18.
    """
    check_images(example, "NeMo Automodel")
    row = example.reworked(automodel_conversation(example.conversation), "NeMo Automodel")
    if _TAG.search(row.template):
        tagged = generation_tags(row)
        bits, warnings = list(tagged.trained), list(tagged.warnings)
    else:
        bits, warnings = _grown(row), []
    if mask_generation_prompt:
        prompted = _prompted(row)
        bits = [bit and index not in prompted for index, bit in enumerate(bits)]
    if mask_history:
        bits = _last_run(bits)
    return Labelled.by_rule(bits, warnings=warnings, example=None if row.tokens.ids == example.tokens.ids else row)


def _message(index: int, message: Message) -> Message:
    role = message["role"]
    if role not in _ROLES:
        raise _stops(f"message {index} has the role {role!r}, which it does not know")
    out: Message = {**message, "content": _content(message.get("content"))}
    if role == "assistant" and "reasoning_content" in message:
        if not isinstance(message["reasoning_content"], str | None):
            raise _stops(f"message {index} · reasoning_content is not a text")
        out["reasoning_content"] = message["reasoning_content"] or ""
    if role == "assistant" and "tool_calls" in message:
        out["tool_calls"] = _calls(index, message["tool_calls"])
    if role == "tool" and not (isinstance(message.get("tool_call_id"), str) and message["tool_call_id"]):
        raise _stops(f"message {index} is a tool's result without a tool_call_id")
    return out


def _content(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(part["text"] for part in value if isinstance(part, dict) and "text" in part)
    return "" if value is None else str(value)


def _calls(index: int, calls: Any) -> list[Any]:
    if not isinstance(calls, list):
        raise _stops(f"message {index} · tool_calls is not a list")
    return [_call(f"message {index} · tool_calls[{number}]", number, call) for number, call in enumerate(calls)]


def _call(where: str, number: int, call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise _stops(f"{where} has no function with a name")
    if (arguments := function.get("arguments")) is None:
        raise _stops(f"{where} has no arguments")
    names = {"id": call.get("id") or f"call_{number}", "type": call.get("type") or "function"}
    if not all(isinstance(name, str) for name in names.values()):
        raise _stops(f"{where} has an id or a type that is not a text")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {**call, **names, "function": {**function, "arguments": text}}


def _stops(why: str) -> StrategyRefusedError:
    return StrategyRefusedError(f"NeMo Automodel stops at this row: {why}.")


def _grown(row: Example) -> list[bool]:
    """A bit per token, by the lengths of the renders up to each assistant message and with it."""
    answers, count = row.conversation.assistant_indices(), len(row.conversation.messages)
    if not answers:
        raise _stops("it has no assistant message")
    if answers[0] == 0:
        raise _stops("message 0 is an answer, and transformers renders no conversation without messages")
    wanted = sorted({place for index in answers for place in (index, index + 1)} - {count})
    renders = _ids_of_first(row, wanted)
    lengths = {count: len(row)}
    for place, ids in zip(wanted, renders, strict=True):
        if not _is_prefix(ids, row.tokens.ids, row.tokenizer.eos_token_id):
            raise _stops(
                f"the first {place} messages render to other tokens than those that the whole conversation begins with"
            )
        lengths[place] = len(ids)
    bits = [False] * len(row)
    for index in answers:
        part = range(lengths[index], min(lengths[index + 1], len(row)))
        bits[part.start : part.stop] = [True] * len(part)
    return bits


def _ids_of_first(row: Example, counts: Sequence[int], **keywords: Any) -> list[list[int]]:
    """Ids of the renders of the first messages, so many of them each."""
    messages = row.conversation.messages
    wanted = [
        replace(row.conversation, messages=messages[:count], keywords={"add_generation_prompt": False, **keywords})
        for count in counts
    ]
    return row.ids_of_all(row.texts(wanted))


def _is_prefix(ids: Sequence[int], whole: Sequence[int], eos: int | None = None) -> bool:
    """Whether a row begins with ids, whose last may be another one if it is the eos token."""
    if len(ids) > len(whole):
        return False
    begun = list(whole[: len(ids)])
    is_replaced = len(ids) > 1 and eos is not None and ids[-1] == eos and list(ids[:-1]) == begun[:-1]
    return list(ids) == begun or is_replaced


def _prompted(row: Example) -> set[int]:
    """The tokens of answers that a generation prompt writes, where it only adds to the render before."""
    modes: list[dict[str, Any]] = [{}]
    if "enable_thinking" in row.template:
        modes = [{"enable_thinking": True}, {"enable_thinking": False}]
    found: set[int] = set()
    shown = list(row.tokens.ids)
    answers = [index for index in row.conversation.assistant_indices() if index]
    befores = _ids_of_first(row, answers)
    opened = [_ids_of_first(row, answers, add_generation_prompt=True, **mode) for mode in modes]
    for before, *prompts in zip(befores, *opened, strict=True):
        if not _is_prefix(before, shown):
            continue
        blocks = [ids[len(before) :] for ids in prompts if _is_prefix(before, ids)]
        written = [len(block) for block in blocks if shown[len(before) : len(before) + len(block)] == block]
        found.update(range(len(before), len(before) + max(written, default=0)))
    return found


def _last_run(bits: Sequence[bool]) -> list[bool]:
    """The last run of trained tokens alone. Token 0, which nothing predicts, is none of them."""
    end = next((index + 1 for index in range(len(bits) - 1, 0, -1) if bits[index]), 0)
    start = next((index + 1 for index in range(end - 1, -1, -1) if not bits[index]), 0)
    return [start <= index < end for index in range(len(bits))]


# --- NeMo RL


@facts("NeMo RL", "sft", version="2026-08")
def nemo_rl(
    example: Example,
    *,
    add_bos: bool = True,
    add_eos: bool = True,
    add_generation_prompt: bool = False,
    only_unmask_final: bool = False,
) -> Labelled:
    """Train what each assistant message adds to the text of the render; the parts are tokenized alone and joined.

    A part begins where the render with the message parts from the render before, so that a beginning that the two share
    is the earlier message's. `add_bos`, `add_eos`: the tokens are put at the row's ends where they are not.
    `add_generation_prompt`: renders that end in a question or a tool's result have one, so that headers do not train.
    `only_unmask_final`: the last message alone trains, whoever wrote it. Template keywords are dropped.

    Raises StrategyRefusedError when the template refuses the first messages. Source: NeMo RL's `llm_message_utils.py`,
    docs/strategies.md D19.
    """
    check_images(example, "NeMo RL")
    conversation = example.conversation
    last = len(conversation.messages) - 1
    renders = [
        replace(
            conversation,
            messages=conversation.messages[: index + 1],
            documents=None,
            keywords={"add_generation_prompt": add_generation_prompt and conversation.role(index) in ("user", "tool")},
        )
        for index in range(last + 1)
    ]
    pieces, before = [], ""
    for index, (one, text) in enumerate(zip(renders, example.texts(renders), strict=True)):
        trains = index == last if only_unmask_final else conversation.role(index) == "assistant"
        start = common_start(before, text)
        begin, end = _ends(example, text[start:], add_bos and index == 0, add_eos and index == last)
        pieces.append(_chunk(example, begin + text[start:] + end, trains, _framed(example, one, start, begin, end)))
        before = text
    return labelled_row(example, pieces, "NeMo RL")


def _ends(example: Example, chunk: str, adds_bos: bool, adds_eos: bool) -> tuple[str, str]:
    """What is put before and after a part of the row."""
    bos, eos = example.tokenizer.bos_token, example.tokenizer.eos_token
    begin = str(bos) if adds_bos and bos is not None and not chunk.startswith(str(bos)) else ""
    whole = begin + chunk
    end = str(eos) if adds_eos and eos is not None and not whole.rstrip("\n").endswith(str(eos)) else ""
    return begin, end


def _framed(example: Example, one: Conversation, start: int, begin: str, end: str) -> Callable[[], Rendered]:
    def source() -> Rendered:
        rendered = rendering(example, one)()
        return joined([template_text(begin), rendered.part(start, len(rendered.text)), template_text(end)])

    return source


def _chunk(example: Example, text: str, trains: bool, source: Callable[[], Rendered]) -> Piece:
    return piece(example, text, source, trained=trains)
