"""Token ids -> the conversation that they are the render of, recognised by the headers that the template writes.

A reading counts if the template renders the read messages to exactly the text of the ids, or to more after it: then the
owner of each character is known, as for any conversation. Otherwise no owner is known, and the result says why.

In: a model and ids. Out: messages, or a ReadBack. May import: `turns`, `tokens`, `rendering`, `model` and below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest

from inspector.conversation import TEXT_ROLE, Conversation, LabelledIds
from inspector.errors import FormatError, InspectorError
from inspector.model.model import Model
from inspector.rendering import sandbox
from inspector.rendering.origins import OriginKind
from inspector.rendering.rendered import Rendered
from inspector.tokens import TokenTable, control_tokens, decoded, ids_by, table_of, tokenize
from inspector.turns import find_turns

_TEXT_TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
"""The template for a text without known owners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """The conversation of ids. `template`: the source that `rendered` was made with; `why`: why no message could be
    read, or "". Without messages the text is one message of the role `text`. `is_encoders`: whether the ids are those
    of the model's encoder, if that is more than the tokenizer."""

    conversation: Conversation
    rendered: Rendered
    tokens: TokenTable
    template: str
    why: str = ""
    is_encoders: bool = True


def check_ids(model: Model, labelled: LabelledIds) -> None:
    """Raise FormatError for an id that the model's vocabulary does not have."""
    size = len(model.tokenizer)
    odd = next((i for i, id in enumerate(labelled.ids) if not 0 <= id < size), None)
    if odd is not None:
        raise FormatError(
            f"Token {odd} has the id {labelled.ids[odd]}, and {model.name} has ids from 0 to {size - 1}: the row was "
            "made with the tokenizer of another model."
        )


def read_back(model: Model, ids: Sequence[int]) -> ReadBack:
    """The conversation, its render and its tokens. The tokens are these ids, however the tokenizer encodes the text."""
    text, spans, has_offsets = decoded(model.tokenizer, ids)
    why = ""
    headers, closings = frames(model)
    marks = "".join((*headers, *closings))
    for conversation, end in _readings(model, text, _without_spelled(model, text, ids, spans)):
        _, template = model.template_for(False)
        try:
            rendered = sandbox.render(template, conversation, model.special_tokens)
        except InspectorError as error:
            why = why or f"the template does not render the messages that its text reads as: {error}"
            continue
        bos = str(model.special_tokens.get("bos_token") or "")
        if bos and text.startswith(bos + bos) and not rendered.text.startswith(bos + bos):
            rendered = rendered.after(bos)  # as in a rendered text that was tokenized with special tokens
        if end and rendered.text == text.removesuffix(end):
            rendered = rendered.before(end)
        if not rendered.text.startswith(text):
            why = why or _difference(text, rendered.text)
            continue
        rendered = rendered.cut(len(text))
        tokens = table_of(model.tokenizer, rendered, ids, spans, has_offsets or model.is_fast)
        if held := _held_mark(tokens, marks):
            why = why or f"a message that its text reads as holds {held!r}, which begins or ends turns"
            continue
        is_encoders = model.encoder.text_becomes_control or ids_by(model.encoder, model.tokenizer, rendered) == list(
            ids
        )
        return ReadBack(
            conversation=conversation, rendered=rendered, tokens=tokens, template=template, is_encoders=is_encoders
        )
    conversation = Conversation(messages=({"role": TEXT_ROLE, "content": text},))
    rendered = sandbox.render(_TEXT_TEMPLATE, conversation, model.special_tokens)
    return ReadBack(
        conversation=conversation,
        rendered=rendered,
        tokens=table_of(model.tokenizer, rendered, ids, spans, has_offsets or model.is_fast),
        template=_TEXT_TEMPLATE,
        why=why or "no header that the template writes stands in its text",
        is_encoders=model.encoder.text_becomes_control,
    )


def _without_spelled(model: Model, text: str, ids: Sequence[int], spans: Sequence[tuple[int, int]]) -> str:
    """The text, with control tokens that are only spelled out blanked; unchanged if text can become control tokens."""
    if model.encoder.text_becomes_control:
        return text
    controls = control_tokens(model.tokenizer)
    special = {id for id, token in model.tokenizer.added_tokens_decoder.items() if token.special}
    real = {span for id, span in zip(ids, spans, strict=True) if id in special}
    return controls.sub(lambda found: found[0] if found.span() in real else "\0" * len(found[0]), text)


def _held_mark(tokens: TokenTable, marks: str) -> str:
    """The first control token in a message's text with which the template frames turns; "" if there is none."""
    for text, is_control, runs in zip(tokens.texts, tokens.control, tokens.runs, strict=True):
        is_own = all(run.origin.kind is OriginKind.MESSAGE for run in runs)
        if is_control and text and text in marks and is_own:
            return text
    return ""


def _readings(model: Model, text: str, framing: str) -> Iterator[tuple[Conversation, str]]:
    """The conversations that a text may be of, each with the text that was written after it.

    The messages as they are, then with a generation prompt; where the text ends in an EOS token, also those before it:
    trainers append one to text that does not end in it, as TRL does.
    """
    eos = str(model.special_tokens.get("eos_token") or "")
    ends = ("", eos) if eos and framing.endswith(eos) else ("",)
    for end in ends:
        length = len(text) - len(end)
        messages = tuple(read_conversation(model, text[:length], framing[:length]))
        if messages:
            yield Conversation(messages=messages), end
        if messages and not end:
            yield Conversation(messages=messages, keywords={"add_generation_prompt": True}), end


def _difference(text: str, rendered: str) -> str:
    at = next((i for i, (a, b) in enumerate(zip(text, rendered, strict=False)) if a != b), len(rendered))
    there, wanted = (repr(one[at : at + 20]) if one[at:] else "nothing" for one in (text, rendered))
    return f"at character {at} it has {there}, where the template writes {wanted} for the messages that it reads as"


def read_conversation(model: Model, text: str, framing: str | None = None) -> list[dict[str, str]]:
    """The messages of a rendered text, split at the headers that the model's template writes; may be empty.

    `framing`: the text with everything that neither begins nor ends a turn blanked out, character for character.
    """
    framing = text if framing is None else framing
    headers, closings = frames(model)
    if not headers:
        return []
    pattern = re.compile("|".join(re.escape(header) for header in sorted(headers, key=len, reverse=True)))
    found = list(pattern.finditer(framing))
    messages = []
    bos = str(model.special_tokens.get("bos_token") or "")
    before = text[: found[0].start()].removeprefix(bos).removeprefix(bos) if found else ""
    if before and (headless := _all_frames(model)[0].get("")) is not None:
        end = next((c for c in closings if before.endswith(c)), "")
        messages.append({"role": headless, "content": before.removesuffix(end)})
    for match, following in zip_longest(found, found[1:]):
        inside = slice(match.end(), following.start() if following else len(text))
        content, role = text[inside], headers[match.group()]
        closing = next((c for c in closings if framing[inside].endswith(c)), None)
        if closing is None and not content:
            continue  # a header with nothing after it: a generation prompt
        messages.append({"role": role, "content": content.removesuffix(closing or "")})
    return messages


def frames(model: Model) -> tuple[dict[str, str], list[str]]:
    """Header text -> role, and the texts that close a turn, longest first, from traced renders."""
    headers, closings = _all_frames(model)
    return {header: role for header, role in headers.items() if header}, closings


def _all_frames(model: Model) -> tuple[dict[str, str], list[str]]:
    """The same, with the role of a text that begins without a header under ""."""
    return _frames(_Framing(model.tokenizer, model.template_for(False)[1], model))


_PROBES = (
    ("user", "assistant", "user", "assistant"),
    ("system", "user", "assistant", "user", "assistant"),
    ("user", "assistant", "tool", "assistant"),
    ("developer", "user", "assistant"),
)
"""The roles of the conversations that show how a template frames turns; refused ones are left out. The first results
win: a template may put the system text into the user's turn."""


@dataclass(frozen=True)
class _Framing:
    """The values that the frames of turns depend on; the model does not count when two are compared."""

    tokenizer: object
    template: str
    model: Model = field(compare=False)


@lru_cache(maxsize=8)
def _frames(framing: _Framing) -> tuple[dict[str, str], list[str]]:
    """Header text -> role, and the texts that close a turn, longest first, from one traced render."""
    model, template = framing.model, framing.template
    found: list[tuple[str, str]] = []
    closings: set[str] = set()
    for roles in _PROBES:
        messages = tuple({"role": role, "content": f"{role[0].upper()}{i}"} for i, role in enumerate(roles, 1))
        conversation = Conversation(messages=messages)
        try:
            rendered = sandbox.render(template, conversation, model.special_tokens)
            turns = find_turns(conversation, rendered, tokenize(model.tokenizer, rendered, model.encoder))
        except InspectorError:
            continue
        position = 0
        said: int | None = None
        spans = [
            (start, end, run.origin.message_index)
            for start, end, run in rendered.spans()
            if run.origin.kind is OriginKind.MESSAGE and run.origin.field == "content"
        ]
        for (start, end, index), following in zip_longest(spans, spans[1:]):
            turn = turns.get(index) if index is not None else None
            opened = max(position, turn.start) if turn and turn.start < start else position
            header = rendered.text[opened:start]
            if not header.strip() and said is not None:  # it also ends the previous turn: `[/INST]`
                header = rendered.text[said:start]
            said = end
            is_of_others = any(str(message["content"]) in header for message in messages)
            if (header.strip() or not position) and index is not None and not is_of_others:
                found.append((header, conversation.role(index)))
                if turn and turn.header and opened < turn.header.end < start:  # such as an empty `<think></think>`
                    found.append((rendered.text[opened : turn.header.end], conversation.role(index)))
            next_turn = turns.get(following[2]) if following and following[2] is not None else None
            closed = next_turn.start if next_turn else rendered.prompt_start or len(rendered.text)
            if rendered.text[end:closed].strip():
                closings.add(rendered.text[end:closed])
            position = closed
    bos = str(model.special_tokens.get("bos_token") or "")
    if sum(header.startswith(bos) for header, _ in found) <= 2:  # it begins the text, and not every turn
        found = [(header.removeprefix(bos), role) for header, role in found]
    headers = {header if header.strip() else "": role for header, role in reversed(found)}
    return headers, sorted({c for closing in closings for c in (closing, closing.rstrip())}, key=len, reverse=True)
