"""Which tokens of a row that was read back may be another's than they seem.

A text that is read back may hold what the template writes for parts that no reading tells from words: reasoning, calls
of tools, their results. From the first mark of that kind on it is unknown whose a turn's text is, up to its stop token.

In: an example that was read back, and its mask. Out: indices of tokens. May import: `strategies` and below.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from inspector.rendering.origins import Origin, OriginKind
from inspector.strategies import Example
from inspector.turns import Turn

_MARK = re.compile(r"<[^<>\s{}%]{2,60}>|\[/?[A-Z_]{3,}\]")
"""How templates mark parts: `<think>`, `<|tool_call|>`, `[TOOL_CALLS]`."""


@lru_cache(maxsize=64)
def _marks(template: str) -> re.Pattern[str] | None:
    """What finds the marks that a template writes, with the white space before them; None where it writes none."""
    found = sorted(set(_MARK.findall(template)), key=len, reverse=True)
    return re.compile(rf"\s*(?:{'|'.join(map(re.escape, found))})") if found else None


def doubtful_tokens(example: Example, trained: Sequence[bool]) -> set[int]:
    """Tokens of messages' text from the first mark of a part on; stop tokens and what follows them are certain.

    Where a header ends in a mark that no special token is, such as `<think>`, that mark may be a message's own. In a
    turn of others' an answer's part may hide, and then the next header is one that the model writes. Where a trained
    answer begins with the template's own marks, such as an empty `<think></think>`, the prompt may have held them.
    """
    marks, spans, special = _marks(example.template), example.tokens.char_spans, example.tokens.special
    out: set[int] = set()
    hides_answer = False
    for index, turn in example.turns.items() if marks else ():
        assert marks is not None
        start, first = turn.answer_start, _first(marks, example.rendered.text, turn)
        if opened := re.search(rf"(?:{marks.pattern})\s*$", example.rendered.text[turn.start : start]):
            begin = turn.start + opened.start()
            closing = {i for i in turn.tokens if spans[i][1] > begin and spans[i][0] < start}
            out |= set() if any(special[i] for i in closing) else closing
        begun = _words_start(turn)
        is_trained = turn.header is not None and any(trained[i] for i in turn.tokens)
        if is_trained and begun is not None and marks.search(example.rendered.text, start, begun):
            out |= {i for i in turn.tokens if spans[i][0] >= start and spans[i][1] <= begun}
        if hides_answer:
            out |= {i for i in turn.tokens if spans[i][1] <= start}
        if first is not None:
            stop = len(spans) if turn.stop_token is None else turn.stop_token
            out |= {i for i in turn.tokens if spans[i][1] > first and i < stop}
        hides_answer = first is not None and example.conversation.role(index) != "assistant"
    return out


def _words_start(turn: Turn) -> int | None:
    """Where a turn's own words begin; None where it has none."""
    return next((start for start, _, run in turn.runs if _is_words(run.origin) and start >= turn.answer_start), None)


def _first(marks: re.Pattern[str], text: str, turn: Turn) -> int | None:
    """The first character of a turn's first part; None where its message holds no mark."""
    words = [(start, end) for start, end, run in turn.runs if _is_words(run.origin)]
    found = next(filter(None, (marks.search(text, start, end) for start, end in words)), None)
    return None if found is None else found.start()


def _is_words(origin: Origin) -> bool:
    return origin.kind is OriginKind.MESSAGE and origin.top_field != "role"
