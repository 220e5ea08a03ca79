"""Findings about message text that is missing from the render, and rendered text that no token covers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby

from inspector.conversation import REASONING_FIELDS, Message, is_media, string_fields
from inspector.errors import listed, short
from inspector.findings.codes import Code, Finding, Severity
from inspector.findings.places import span_of
from inspector.rendering.origins import OriginKind
from inspector.strategies import Example, Labelled, is_trained


def find_lost_content(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Each field of a message that is not rendered whole, and each stretch of text that no token covers.

    Fields that name or describe messages and calls make one finding together.
    """
    beside: dict[str, None] = {}
    shown = _shown_positions(example)
    last_trained = next((i for i in sorted(example.turns, reverse=True) if is_trained(example, labelled, i)), -1)
    for index, message in enumerate(example.conversation.messages):
        for path, text in string_fields(message):
            lost = _lost_offsets(example, index, text, shown.get((index, path), {}))
            if not lost or _is_structure(path) or _is_media_path(message, path):
                continue
            if _IDENTIFIER.fullmatch(path) or path.split(".")[0].split("[")[0] not in _SAID:
                beside[re.sub(r"\d+", "", path)] = None
            else:
                yield _lost_field(example, labelled, index, path, text, lost, last_trained)
    if beside:
        yield Finding(
            code=Code.CONTENT_LOST,
            severity=Severity.NOTE,
            message_index=None,
            token_span=None,
            detail=f"Fields that the template does not write: {listed(beside)}.",
            remedy="Nothing to do if they only name or describe messages and calls.",
        )
    for start, end in example.tokens.uncovered:
        yield Finding(
            code=Code.CONTENT_LOST,
            severity=Severity.NOTE,
            message_index=None,
            token_span=None,
            detail=f"The tokenizer drops {short(example.rendered.text[start:end])!r} at character {start}: no token "
            "covers it.",
            remedy="Nothing to do if it is whitespace; otherwise use a tokenizer that keeps the text.",
        )


def _lost_offsets(example: Example, index: int, text: str, shown: Mapping[int, int]) -> list[int]:
    """The characters of a field that are missing from the render; `shown` maps the others to their positions.

    Qwen3 cuts `<think>` and `</think>` off an answer and writes its own in their place: these are not lost.
    """
    lost: list[int] = []
    turn = example.turns.get(index)
    for is_shown, group in groupby(range(len(text)), key=shown.__contains__):
        piece = list(group)
        start, end = piece[0], piece[-1] + 1
        if is_shown:
            continue
        if turn is not None and (start - 1 in shown or end in shown):
            low = shown[start - 1] + 1 if start - 1 in shown else turn.start
            high = shown.get(end, turn.end)
            core = text[start:end].strip()
            if core and core in example.rendered.text[low:high]:
                continue
        lost += piece
    return lost


def _lost_field(
    example: Example, labelled: Labelled, index: int, path: str, text: str, lost: list[int], last_trained: int
) -> Finding:
    role = example.conversation.role(index)
    dropped = "".join(text[i] for i in lost)
    span = span_of(example, index)
    if role in ("system", "developer") and len(lost) == len(text):
        return Finding(
            code=Code.SYSTEM_UNSUPPORTED,
            severity=Severity.ERROR,
            message_index=index,
            token_span=span,
            detail=f"The template drops the {role} message: none of its {len(text)} characters is in the render.",
            remedy="Put the text at the start of the first user message, or use a template that renders it.",
        )
    if not dropped.strip():
        what, severity = f"{len(lost)} whitespace characters", Severity.NOTE
    elif len(lost) == len(text):
        what, severity = f"all {len(text)} characters", Severity.WARNING
    else:
        what, severity = f"{len(lost)} of {len(text)} characters", Severity.WARNING
    if role == "assistant" and path.startswith("content") and len(lost) == len(text) and dropped.strip():
        severity = Severity.ERROR
    is_history = role == "assistant" and index < last_trained and not is_trained(example, labelled, index)
    if is_history:  # an earlier answer, as the model sees it
        severity = Severity.NOTE
    return Finding(
        code=Code.CONTENT_LOST,
        severity=severity,
        message_index=index,
        token_span=span,
        detail=f"Message {index} ({role}) · {path}: {what} are not in the render: {short(dropped)!r}.",
        remedy="If that is not meant, change the message or use a template that keeps it; where only the history is "
        "rewritten, make one example per turn.",
    )


_IDENTIFIER = re.compile(r"(name|tool_call_id|tool_calls\[\d+\]\.id)")
"""Fields that name a message or a call: templates often leave them out."""
_SAID = frozenset({"content", "tool_calls", "function_call", *REASONING_FIELDS})
"""Fields that hold the message's content; all others describe the message."""


def _is_media_path(message: Message, path: str) -> bool:
    """Whether a field names an image, a sound or a video: the template writes a placeholder, not its address."""
    place = _PART.match(path)
    content = message.get("content")
    return place is not None and isinstance(content, list | tuple) and is_media(content[int(place[1])])


_PART = re.compile(r"content\[(\d+)\]")


def _is_structure(path: str) -> bool:
    """Whether a field steers the template instead of being text."""
    return path == "role" or path.rsplit(".", 1)[-1] == "type"


def _shown_positions(example: Example) -> dict[tuple[int, str], dict[int, int]]:
    """(message, field) -> the characters that the render shows, each with its first position."""
    shown: dict[tuple[int, str], dict[int, int]] = {}
    for start, _, run in example.rendered.spans():
        origin = run.origin
        if origin.kind is OriginKind.MESSAGE and origin.message_index is not None and run.offset is not None:
            positions = shown.setdefault((origin.message_index, origin.field or ""), {})
            for step in range(run.length):
                positions.setdefault(run.offset + step, start + step)
    return shown
