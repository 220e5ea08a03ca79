"""Rendered text -> the conversation that it is a render of, by the headers that the model's template writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest

from inspector.errors import InspectorError
from inspector.inspection import Inspection, inspect
from inspector.model.model import Model
from inspector.rendering.origins import OriginKind


def readings(model: Model, text: str) -> Iterator[Inspection]:
    """Inspections of the conversation that the text reads as, as it is and with a generation prompt after it."""
    messages = read_conversation(model, text)
    if not messages:
        return
    for prompt in (False, True):
        keywords = {"add_generation_prompt": True} if prompt else {}
        try:
            yield inspect(model, {"messages": messages, **keywords})
        except InspectorError:
            continue


def read_conversation(model: Model, text: str) -> list[dict[str, str]]:
    """The messages of a rendered text, told apart by the headers that the model's template writes; maybe none."""
    headers, closings = frames(model)
    if not headers:
        return []
    pattern = re.compile("|".join(re.escape(header) for header in sorted(headers, key=len, reverse=True)))
    found = list(pattern.finditer(text))
    messages = []
    for match, following in zip_longest(found, found[1:]):
        content = text[match.end() : following.start() if following else len(text)]
        role = headers[match.group()]
        closing = next((c for c in closings if content.endswith(c)), None)
        if closing is None and not content:
            continue  # a header with nothing after it: a generation prompt
        messages.append({"role": role, "content": content.removesuffix(closing or "")})
    return messages


def frames(model: Model) -> tuple[dict[str, str], list[str]]:
    """Header text -> role, and the texts that close a turn, the longest first; read off a traced render."""
    words = [("system", "S1"), ("user", "U1"), ("assistant", "A1"), ("user", "U2"), ("assistant", "A2")]
    headers: dict[str, str] = {}
    first: dict[str, str] = {}
    closings: set[str] = set()
    for chosen in (words, words[1:]):
        try:
            row = inspect(model, [{"role": role, "content": content} for role, content in chosen])
        except InspectorError:
            continue
        position = 0
        spans = [
            (start, end, run.origin.message_index)
            for start, end, run in row.example.rendered.spans()
            if run.origin.kind is OriginKind.MESSAGE and run.origin.field == "content"
        ]
        for (start, end, index), following in zip_longest(spans, spans[1:]):
            turn = row.example.turns.get(index) if index is not None else None
            opened = max(position, turn.start) if turn else position
            if index is not None and _is_header(row, opened, start):
                headers.setdefault(_without_bos(model, row.text[opened:start]), row.example.conversation.role(index))
            elif index == 0 and _is_header(row, 0, start):  # written before the loop, as system messages are
                first.setdefault(_without_bos(model, row.text[:start]), row.example.conversation.role(index))
            next_turn = row.example.turns.get(following[2]) if following and following[2] is not None else None
            closed = next_turn.start if next_turn else row.example.rendered.prompt_start or len(row.text)
            if row.text[end:closed].strip():
                closings.add(row.text[end:closed])
            position = closed
    return first | headers, sorted(
        {c for closing in closings for c in (closing, closing.rstrip())}, key=len, reverse=True
    )


def _is_header(row: Inspection, start: int, stop: int) -> bool:
    """Whether the text is not blank, and is the template's own and a role's alone."""
    if not row.text[start:stop].strip():
        return False
    runs = (run.origin for begin, end, run in row.example.rendered.spans() if begin < stop and end > start)
    return all(origin.kind is not OriginKind.MESSAGE or origin.top_field == "role" for origin in runs)


def _without_bos(model: Model, text: str) -> str:
    return text.removeprefix(str(model.special_tokens.get("bos_token") or ""))
