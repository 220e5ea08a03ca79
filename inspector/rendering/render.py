"""Render a chat template so that the origin of every character is known.

Turns (template source, conversation, special tokens) into a `Rendered`: the text transformers would make, its origins,
the spans of `{% generation %}` tags, and for each assistant turn the header that the generation prompt supplies.

The traced text (inspector.rendering.jinja) is compared with that of transformers on every render.

Templates are untrusted code and can run forever: everything but tests and benchmarks calls `sandbox.render`.
Not thread-safe: one render at a time in a process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from inspector.conversation import REASONING_FIELDS, Conversation, Message
from inspector.errors import TemplateTooLargeError, TraceError, excerpt, short
from inspector.rendering.frames import Resolved, resolve, says
from inspector.rendering.jinja import compiled, tracing_environment
from inspector.rendering.origins import TEMPLATE, OriginStr, Run, common_start, placed
from inspector.rendering.plain_render import PlainRender, plain_messages
from inspector.rendering.rendered import Header, Rendered
from inspector.rendering.situations import measure_some
from inspector.rendering.turn_bounds import Beginnings, settle
from inspector.rendering.values import OriginDict, trace_value

MAX_MEASURED_HEADERS = 128
"""Maximum number of turns whose generation prompt is rendered, each with its whole history; the others are assumed."""


def render(
    source: str, conversation: Conversation, special_tokens: Mapping[str, str], *, max_chars: int | None = None
) -> Rendered:
    """Render in this process, without limits of time and memory.

    `special_tokens` are the tokens that the tokenizer passes to its template (`bos_token`, ...). Raises Jinja's errors,
    TemplateTooLargeError if the text has more than `max_chars` characters, and TraceError if the traced text is not
    that of transformers.
    """
    plain = PlainRender(source, conversation, special_tokens)
    expected = plain(conversation.messages, conversation.adds_generation_prompt)
    if max_chars is not None and len(expected) > max_chars:
        raise TemplateTooLargeError(
            f"The chat template wrote {len(expected):,} characters; the limit is {max_chars:,}. Shorten the "
            "conversation or split it."
        )
    try:
        traced, resolved, generation_spans = _trace(source, conversation, special_tokens)
    except Exception as error:
        if isinstance(error, MemoryError | RecursionError):
            raise
        raise TraceError(
            "transformers renders this conversation, but the traced render fails, so nothing can be said about this "
            f"template's characters ({type(error).__name__}: {short(str(error), 200)}). Please report the template."
        ) from error
    if traced != expected:  # a clock in the template may have ticked between the two
        before, expected = expected, plain(conversation.messages, conversation.adds_generation_prompt)
        traced, resolved, generation_spans = _trace(source, conversation, special_tokens)
        if traced != expected and before != expected:
            same = common_start(before, expected)
            raise TraceError(
                f"The chat template renders the same conversation differently each time, from character {same} on "
                f"({excerpt(before, same)}, then {excerpt(expected, same)}): no two epochs would train the "
                "same tokens. Remove what is random or counts time from it."
            )
    if traced != expected:
        same = common_start(traced, expected)
        raise TraceError(
            f"The traced render differs from transformers' from character {same} on "
            f"({excerpt(traced, same)} instead of {excerpt(expected, same)}), so nothing "
            "can be said about this template's characters. Please report the template."
        )
    usual_prompt = lru_cache(maxsize=1)(lambda: _usual_prompt(source, conversation, special_tokens, plain))
    beginnings = Beginnings(
        text=lambda count, opens: plain.attempt(conversation.messages[:count], opens),
        traced=lambda count: _traced_beginning(source, conversation, special_tokens, count),
        usual_prompt=usual_prompt,
    )
    settled = settle(expected, resolved, conversation, beginnings)
    runs = settled.runs
    headers = tuple(_headers(expected, runs, conversation, plain, usual_prompt))
    prompt_start = _prompt_start(expected, runs, conversation, plain, headers, usual_prompt)
    if prompt_start is not None:
        runs = (
            *OriginStr(expected, runs)[:prompt_start]._runs,
            *(run._replace(turn=None) for run in OriginStr(expected, runs)[prompt_start:]._runs),
        )
    return Rendered(
        text=expected,
        runs=runs,
        generation_spans=tuple(generation_spans),
        headers=headers,
        prompt_start=prompt_start,
        read_off=settled.read_off,
        unknown_turns=settled.unknown,
    )


# --- headers


def _headers(
    text: str, runs: tuple[Run, ...], conversation: Conversation, plain: PlainRender, usual_prompt: Callable[[], str]
) -> Iterator[Header]:
    bounds = _turn_bounds(runs)
    own_starts = _own_starts(runs)
    starts = {index: bounds[index][0] for index in conversation.assistant_indices() if index in bounds}
    measured = measure_some(
        plain.source,
        conversation.messages,
        list(starts),
        lambda index: _generation_prompt(text, starts[index], conversation.messages[:index], plain),
        lambda index, found: found is not None and text.startswith(found[0], starts[index]),
        most=MAX_MEASURED_HEADERS,
    )
    others = next((found[0] for found in measured.values() if found is not None and found[0].strip()), "")
    prompt, history_kept = "", True
    for index, start in starts.items():
        if index in measured:
            prompt, history_kept = measured[index] or (usual_prompt() or others, not index)
        end = bounds[index][1]
        header_end = _header_end(text, start, own_starts.get(index, end), end, prompt, usual_prompt)
        yield Header(index, start, header_end, prompt, history_kept, index in measured)


def _header_end(text: str, start: int, own_start: int, end: int, prompt: str, usual_prompt: Callable[[], str]) -> int:
    """The end of the part of a turn that the generation prompt supplies.

    Most turns start with the prompt. The first turn may have more in front (`<s>`, a default system text). If neither
    that nor the usual prompt is complete, its end may be there, without the text that closes or separates the previous
    turn. Otherwise the part that matches the prompt is supplied, but no message text.
    """
    same = common_start(text[start:end], prompt)
    if prompt and same == len(prompt):
        return start + same
    for wanted in (prompt, usual_prompt()):
        position = text.find(wanted, start, own_start) if wanted.strip() else -1
        if position >= 0:
            return position + len(wanted)
    lead = text[start:own_start]
    if lead.strip() and prompt.endswith(lead):
        return own_start
    return min(start + same, own_start)


def _generation_prompt(
    text: str, start: int, history: tuple[Message, ...], plain: PlainRender
) -> tuple[str, bool] | None:
    """The text that `add_generation_prompt` puts before the answer to `history`, and whether the history is kept.

    None if that is unknown. The second render is made only if the first does not lead into the answer.
    """
    opened = plain.attempt(history, True)
    if opened is None:
        return None
    is_kept = opened[:start] == text[:start]
    if is_kept and text.startswith(opened[start:], start):
        return opened[start:], True
    closed = plain.attempt(history, False)
    if closed is None or not opened.startswith(closed):
        return (opened[start:], True) if is_kept else None
    if opened == closed and not is_kept:
        return None
    return opened[len(closed) :], text.startswith(closed)


def _usual_prompt(
    source: str, conversation: Conversation, special_tokens: Mapping[str, str], plain: PlainRender
) -> str:
    """The text that `add_generation_prompt` puts after a lone question: for turns whose history does not render alone.

    It is the template text after the question's turn; Phi-3 writes `</s>` there if no prompt is requested.
    """
    question: tuple[Message, ...] = ({"role": "user", "content": "?"},)
    opened, closed = plain.attempt(question, True), plain.attempt(question, False)
    if opened is None or closed is None or opened == closed:
        return ""
    keywords = {**conversation.keywords, "add_generation_prompt": True}
    asked = replace(conversation, messages=question, keywords=keywords)
    traced, resolved, _ = _trace(source, asked, special_tokens)
    _, end = _turn_bounds(resolved.runs).get(0, (0, len(traced)))
    is_settled = 0 not in resolved.doubtful and end < len(traced)
    if is_settled or not opened.startswith(closed):
        return traced[end:]
    return opened[len(closed) :]


def _turn_bounds(runs: tuple[Run, ...]) -> dict[int, tuple[int, int]]:
    """Turn -> `(first character, end of the last)`."""
    bounds: dict[int, tuple[int, int]] = {}
    for start, end, run in placed(runs):
        if run.turn is not None:
            bounds[run.turn] = (bounds.get(run.turn, (start, 0))[0], end)
    return bounds


def _own_starts(runs: tuple[Run, ...]) -> dict[int, int]:
    """Message -> the first character of its text in its turn; the role does not count, since headers name it."""
    starts: dict[int, int] = {}
    for start, _, run in placed(runs):
        if run.turn is not None and run.turn == says(run):
            starts.setdefault(run.turn, start)
    return starts


def _prompt_start(
    text: str,
    runs: tuple[Run, ...],
    conversation: Conversation,
    plain: PlainRender,
    headers: tuple[Header, ...],
    usual_prompt: Callable[[], str],
) -> int | None:
    """The start of a trailing generation prompt, requested or written by the template anyway."""
    if conversation.adds_generation_prompt:
        closed = plain.attempt(conversation.messages, False)
        if closed is not None and closed != text and text.startswith(closed):
            return len(closed)
    last = len(conversation.messages) - 1
    own_header_end = headers[-1].end if headers and headers[-1].message_index == last else 0
    prompts = {header.prompt for header in headers} or {usual_prompt()}
    for prompt in sorted(prompts, key=len, reverse=True):
        start = len(text) - len(prompt)
        if prompt.strip() and text.endswith(prompt) and start >= max(own_header_end, _content_end(runs)):
            return start
    return None


def _content_end(runs: tuple[Run, ...]) -> int:
    """The end of the last character that came from a message."""
    return max((end for _, end, run in placed(runs) if run.origin.message_index is not None), default=0)


# --- the traced render


def _trace(
    source: str, conversation: Conversation, special_tokens: Mapping[str, str]
) -> tuple[str, Resolved, list[tuple[int, int]]]:
    """The text, its runs, and the spans of its generation tags."""
    template = compiled(source)
    environment = tracing_environment()
    variables: dict[str, Any] = {
        key: OriginStr.of(value, TEMPLATE) if isinstance(value, str) else value for key, value in special_tokens.items()
    }
    variables |= {key: trace_value(value, None, key) for key, value in conversation.keywords.items()}
    variables |= {
        "messages": [_traced_message(i, m) for i, m in enumerate(plain_messages(conversation.messages))],
        "tools": _traced_list(conversation.tools, "tools"),
        "documents": _traced_list(conversation.documents, "documents"),
        "add_generation_prompt": conversation.adds_generation_prompt,
    }
    traced = environment.run(template, variables)
    text = str.__str__(traced)
    return text, resolve(text, traced._runs, environment.frames), environment.generation_spans


def _traced_beginning(
    source: str, conversation: Conversation, special_tokens: Mapping[str, str], count: int
) -> tuple[str, Resolved] | None:
    """The render of the first messages without a generation prompt; None if the template refuses them."""
    keywords = {**conversation.keywords, "add_generation_prompt": False}
    beginning = replace(conversation, messages=conversation.messages[:count], keywords=keywords)
    try:
        text, resolved, _ = _trace(source, beginning, special_tokens)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # a template may raise anything at all on a conversation it was not written for
        return None
    return text, resolved


def _traced_message(index: int, message: Message) -> OriginDict:
    traced: OriginDict = trace_value(message, index, "")
    given = next((name for name in REASONING_FIELDS if message.get(name) is not None), None)
    if given is None:
        return traced
    first = next((key for key in traced if key == "thinking"), "thinking")
    shown = OriginDict({first: traced[given], **traced, "reasoning_content": traced[given]})
    shown._origin = traced._origin  # transformers shows a message's reasoning under each of its names, in this order
    return shown


def _traced_list(value: tuple[dict[str, Any], ...] | None, name: str) -> Any:
    return None if value is None else trace_value(list(value), None, name)
