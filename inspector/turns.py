"""Finds the start of each turn, the part of it that the generation prompt supplies, and the token that ends it.

Turns a rendered conversation and its tokens into one `Turn` per message that has text of its own. Every strategy is
compared with the result, so it is computed once, from origins, independently of any trainer.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inspector.conversation import Conversation
from inspector.rendering.frames import says
from inspector.rendering.origins import OriginKind, Run
from inspector.rendering.rendered import Header, Rendered
from inspector.tokens import TokenTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The text of one message's turn. Characters are code points of the rendered text, spans half open.

    `char_spans`: all characters of the turn, in order; usually one span. `runs`: the same as `(start, end, run)`.
    `tokens`: indices of the tokens that overlap it. `header`: the part that the generation prompt
    supplies (None for other roles). `content_end`: the end of the last character that came from the message.
    `stop_token`: index of the special token that ends the turn, or None if the template writes none. `stop_span`: the
    characters that end the turn: the stop token, or a marker that this tokenizer reads as text, such as `### End`.
    `end_tokens`: the tokens that end it: the stop token, those that overlap the marker, or the closing token.
    `closing_token`: with no stop token, index of the special token that opens the next turn and so ends this one.
    """

    message_index: int
    char_spans: tuple[tuple[int, int], ...]
    runs: tuple[tuple[int, int, Run], ...]
    tokens: tuple[int, ...]
    header: Header | None
    content_end: int
    stop_token: int | None
    closing_token: int | None
    stop_span: tuple[int, int] | None
    end_tokens: tuple[int, ...]

    @property
    def start(self) -> int:
        """The turn's first character."""
        return self.char_spans[0][0]

    @property
    def end(self) -> int:
        """The end of its last character."""
        return self.char_spans[-1][1]

    @property
    def token_span(self) -> tuple[int, int] | None:
        """The range from its first token to its last; None if no token overlaps it."""
        return (self.tokens[0], self.tokens[-1] + 1) if self.tokens else None

    @property
    def answer_start(self) -> int:
        """The first character after the header."""
        return self.header.end if self.header else self.start


def find_turns(conversation: Conversation, rendered: Rendered, tokens: TokenTable) -> dict[int, Turn]:
    """Message index -> its turn, for every message with at least one character or template text of its own."""
    spans: dict[int, list[tuple[int, int]]] = {}
    turn_runs: dict[int, list[tuple[int, int, Run]]] = {}
    content_end: dict[int, int] = {}
    for start, end, run in rendered.spans():
        if run.turn is None:
            continue
        turn_runs.setdefault(run.turn, []).append((start, end, run))
        turn_spans = spans.setdefault(run.turn, [])
        if turn_spans and turn_spans[-1][1] == start:
            turn_spans[-1] = (turn_spans[-1][0], end)
        else:
            turn_spans.append((start, end))
        if run.origin.kind is OriginKind.MESSAGE and run.origin.message_index == run.turn:
            content_end[run.turn] = end
    headers = {header.message_index: header for header in rendered.headers}
    markers = _text_markers(rendered, spans)
    first_tokens, turn_tokens = _tokens_by_start(tokens), _tokens_by_turn(tokens)
    turns = {}
    for index, turn_spans in sorted(spans.items()):
        header = _whole_tokens(headers.get(index), tokens)
        after = max(content_end.get(index, 0), header.end if header else turn_spans[0][0])
        stop = _stop_token(rendered, tokens, turn_spans, after)
        ended = tokens.char_spans[stop] if stop is not None else markers.get(index)
        closing = None if ended else _closing_token(tokens, first_tokens.get(turn_spans[-1][1]))
        turns[index] = Turn(
            message_index=index,
            char_spans=tuple(turn_spans),
            runs=tuple(turn_runs[index]),
            tokens=tuple(turn_tokens.get(index, ())),
            header=header,
            content_end=content_end.get(index, turn_spans[0][0]),
            stop_token=stop,
            closing_token=closing,
            stop_span=ended,
            end_tokens=_end_tokens(tokens, turn_tokens.get(index, ()), stop if stop is not None else closing, ended),
        )
    return turns


def _text_markers(rendered: Rendered, spans: Mapping[int, list[tuple[int, int]]]) -> dict[int, tuple[int, int]]:
    """Answer -> the characters of the template's text after it, which end the turn if no token does.

    A call's turn may close its brackets first; the marker is the text that all answers' turns end in. Answers whose
    turns have unknown bounds have no marker.
    """
    tails: dict[int, tuple[int, int]] = {}
    content_end: dict[int, int] = {}
    for _, end, run in rendered.spans():
        if run.turn is not None and says(run) == run.turn:
            content_end[run.turn] = end
    for header in rendered.headers:
        index = header.message_index
        after = max(content_end.get(index, 0), header.end)
        end = next((end for start, end in spans[index] if start <= after <= end), after)
        tail = rendered.text[after:end]
        if tail.strip() and index not in rendered.unknown_turns:
            start = after + len(tail) - len(tail.lstrip())
            tails[index] = (start, start + len(tail.strip()))
    texts = [rendered.text[start:end] for start, end in tails.values()]
    shortest = min(texts, key=len, default="")
    if all(text.endswith(shortest) for text in texts):
        return {index: (end - len(shortest), end) for index, (_, end) in tails.items()}
    return tails


def _whole_tokens(header: Header | None, tokens: TokenTable) -> Header | None:
    """A header that matches the prompt up to the middle of a token ends before it: that token is not the prompt's.

    `<tool_call>` and `<think>` both begin with `<`.
    """
    if header is None or header.end - header.start >= len(header.prompt):
        return header
    place = bisect_right(tokens.char_spans, header.end, key=lambda span: span[1])
    start = tokens.char_spans[place][0] if place < len(tokens) else header.end
    return header if start >= header.end else header._replace(end=max(header.start, start))


def _stop_token(rendered: Rendered, tokens: TokenTable, own: list[tuple[int, int]], after: int) -> int | None:
    """The last special token that the template wrote at or after `after` in the turn, if only whitespace follows it.

    A token that the tokenizer declares special wins over one that is merely added: `<|im_end|>` over `</tool_call>`.
    """
    start, end = next((span for span in own if span[0] <= after <= span[1]), own[-1])
    candidates = [
        index
        for index in _tokens_within(tokens, max(start, after), end)
        if tokens.special[index] and all(run.origin.kind is OriginKind.TEMPLATE for run in tokens.runs[index])
    ]
    chosen = [index for index in candidates if tokens.control[index]] or candidates
    if not chosen or rendered.text[tokens.char_spans[chosen[-1]][1] : end].strip():
        return None
    return chosen[-1]


def _closing_token(tokens: TokenTable, index: int | None) -> int | None:
    """The token that starts where the turn ends, if it is the template's special token."""
    if index is None or not tokens.special[index]:
        return None
    return index if all(run.origin.kind is OriginKind.TEMPLATE for run in tokens.runs[index]) else None


def _end_tokens(
    tokens: TokenTable, own: Sequence[int], token: int | None, span: tuple[int, int] | None
) -> tuple[int, ...]:
    if token is not None:
        return (token,)
    if span is None:
        return ()
    return tuple(i for i in own if tokens.char_spans[i][0] < span[1] and tokens.char_spans[i][1] > span[0])


def _tokens_by_start(tokens: TokenTable) -> dict[int, int]:
    return {span[0]: index for index, span in reversed(list(enumerate(tokens.char_spans)))}


def _tokens_by_turn(tokens: TokenTable) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for index, runs in enumerate(tokens.runs):
        for turn in dict.fromkeys(run.turn for run in runs):
            if turn is not None:
                found.setdefault(turn, []).append(index)
    return found


def _tokens_within(tokens: TokenTable, start: int, end: int) -> range:
    """Indices of the tokens that lie inside characters `[start, end)`."""
    first = bisect_left(tokens.char_spans, (start, start))
    last = bisect_right(tokens.char_spans, end, key=lambda span: span[1])
    return range(first, max(first, last))
