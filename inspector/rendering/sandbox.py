"""Render untrusted templates in limited child processes.

`render(source, conversation, special_tokens)` runs `template.render` in a child that has no secrets in its environment,
may use 1 GiB of address space, may write no file and may open few. The kernel ends it once it has used the CPU time for
an input of this length; its parent ends it after waiting ten times as long. Then a TemplateTimeoutError is raised. A
thread or a signal handler could not do this: `9**9**9` holds the interpreter in one call. The limit counts CPU time, so
that a busy machine renders the same templates as a quiet one.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Any, NamedTuple

from inspector.conversation import Conversation
from inspector.errors import InspectorError, TemplateTooLargeError
from inspector.rendering.origins import Origin, OriginKind, Run
from inspector.rendering.rendered import Header, Rendered
from inspector.rendering.sandbox_child import frame
from inspector.rendering.sandbox_pool import Asked, Pool, raise_reported

MAX_INPUT_CHARS = 1_000_000
"""Longest template and conversation together, as JSON."""

CPU_S, CPU_PER_MESSAGE_S, CPU_PER_CHARACTER_S, MOST_CPU_S = 1.5, 0.1, 1e-5, 30.0
"""Seconds of CPU time for a request: the minimum, those per message and per character, and the maximum."""

TEXTS_PER_REQUEST = 8
"""Conversations rendered to text alone that share one limit of CPU time."""


class Tagged(NamedTuple):
    """A rendered text, and the half-open spans of its generation tags in code points."""

    text: str
    generation_spans: tuple[tuple[int, int], ...]


def render(source: str, conversation: Conversation, special_tokens: Mapping[str, str]) -> Rendered:
    """Render a conversation in a child process.

    Raises a RenderError (timeout, memory, refused by the template, syntax, no sandbox, ...) or TraceError.
    """
    request = _request(source, conversation, special_tokens)
    return _decoded(_finished(_begun(request, len(conversation.messages))))


def texts(
    source: str,
    conversations: Sequence[Conversation],
    special_tokens: Mapping[str, str],
    *,
    together: int = TEXTS_PER_REQUEST,
    plain_jinja: bool = False,
) -> list[str | InspectorError]:
    """Render several conversations to text only: a text each, or its error.

    At most `together` of them share one request and its limits, fewer if they are long. `plain_jinja`: without
    transformers' settings (see inspector.rendering.plain_jinja). Errors that end the process (time, memory) are raised.
    """
    groups = text_groups(source, conversations, special_tokens, together=together, plain_jinja=plain_jinja)
    return list(chain.from_iterable(groups))


def text_groups(
    source: str,
    conversations: Sequence[Conversation],
    special_tokens: Mapping[str, str],
    *,
    together: int,
    plain_jinja: bool = False,
) -> Iterator[list[str | InspectorError]]:
    """The results of `texts`, one request at a time: while the caller works with one, the next is being rendered."""
    for answers in _answer_groups(
        "plain_jinja" if plain_jinja else "texts", source, conversations, special_tokens, together
    ):
        yield [_text_or_error(one) for one in answers]


def tagged(
    source: str, conversations: Sequence[Conversation], special_tokens: Mapping[str, str]
) -> list[Tagged | InspectorError]:
    """As `texts`, with the spans of the template's generation tags; both are those of transformers."""
    groups = _answer_groups("tagged", source, conversations, special_tokens, TEXTS_PER_REQUEST)
    return [
        text if isinstance(text := _text_or_error(one), InspectorError) else Tagged(text, _spans(one))
        for one in chain.from_iterable(groups)
    ]


def _answer_groups(
    what: str, source: str, conversations: Sequence[Conversation], special_tokens: Mapping[str, str], together: int
) -> Iterator[list[Mapping[str, Any]]]:
    """The child's answer for each conversation, one request at a time; the next request is already sent."""
    head = frame({"do": what, "template": source, "special_tokens": dict(special_tokens)})
    asked: Asked | None = None
    try:
        lengths = iter([len(conversation.messages) for conversation in conversations])
        for group in _groups([frame(_fields(conversation)) for conversation in conversations], together):
            payload = b"".join((head[:-1], b',"conversations":[', b",".join(group), b"]}"))
            before, asked = asked, None
            answer = None if before is None else _finished(before)
            asked = _begun(payload, sum(islice(lengths, len(group))))
            if answer is not None:
                yield answer["texts"]
        if asked is not None:
            before, asked = asked, None
            yield _finished(before)["texts"]
    finally:
        if asked is not None:
            _POOL.forget(asked)


def _groups(framed: Sequence[bytes], together: int) -> Iterator[list[bytes]]:
    """Groups of consecutive conversations, at most `together` each, and at most half of what one request may hold."""
    group: list[bytes] = []
    for one in framed:
        if group and (len(group) == together or sum(map(len, group)) + len(one) > MAX_INPUT_CHARS // 2):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _text_or_error(answer: Mapping[str, Any]) -> str | InspectorError:
    try:
        raise_reported(answer)
    except InspectorError as error:
        return error
    return str(answer["text"])


@lru_cache(maxsize=64)
def keywords(source: str) -> frozenset[str]:
    """The names that the template reads and does not set itself. Raises a RenderError if it does not compile."""
    return frozenset(_finished(_begun(frame({"do": "keywords", "template": source}), 0))["keywords"])


def spent_s() -> float:
    """Seconds of CPU time that this thread's requests have taken so far; those that were stopped do not count."""
    return getattr(_SPENT, "seconds", 0.0)


def warm_up(children: int = 1) -> None:
    """Start this many children in the background, so that the first renders do not wait for them.

    A server needs one more than the number of hostile templates that it expects at a time.
    """
    _POOL.warm_up(children)


def _request(source: str, conversation: Conversation, special_tokens: Mapping[str, str]) -> bytes:
    request = {
        "do": "render",
        "template": source,
        "conversation": _fields(conversation),
        "special_tokens": dict(special_tokens),
    }
    return frame(request)


def _begun(payload: bytes, messages: int) -> Asked:
    """Send a request to a child, with the limits for its number of messages. Raises a RenderError."""
    if len(payload) > MAX_INPUT_CHARS:
        raise TemplateTooLargeError(
            f"The template and the conversation are {len(payload):,} characters together; the limit is "
            f"{MAX_INPUT_CHARS:,}. Shorten the conversation or split it."
        )
    cpu_s = max(CPU_S, CPU_PER_MESSAGE_S * messages + CPU_PER_CHARACTER_S * len(payload))
    return _POOL.begin(payload, min(cpu_s, MOST_CPU_S))


def _finished(asked: Asked) -> dict[str, Any]:
    """The answer to a request. Raises a RenderError."""
    answer = _POOL.finish(asked)
    _SPENT.seconds = spent_s() + answer["cpu_s"]
    raise_reported(answer)
    return answer


_SPENT = threading.local()
_POOL = Pool()
atexit.register(_POOL.close)


def _fields(conversation: Conversation) -> dict[str, Any]:
    return {
        "messages": conversation.messages,
        "tools": conversation.tools,
        "documents": conversation.documents,
        "keywords": dict(conversation.keywords),
    }


def _spans(answer: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    return tuple((start, end) for start, end in answer["generation_spans"])


def _decoded(answer: Mapping[str, Any]) -> Rendered:
    origins = [Origin(OriginKind(kind), index, field, line) for kind, index, field, line in answer["origins"]]
    return Rendered(
        text=answer["text"],
        runs=tuple(Run(length, origins[origin], offset, turn) for length, origin, offset, turn in answer["runs"]),
        generation_spans=_spans(answer),
        headers=tuple(Header(*header) for header in answer["headers"]),
        prompt_start=answer["prompt_start"],
        read_off=tuple(answer["read_off"]),
        unknown_turns=tuple(answer["unknown_turns"]),
    )
