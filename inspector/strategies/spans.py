"""Find answers in the text by the template's strings, and map them to tokens.

`string_span` is what the last seed meant, `llama3_sft` what it does (2024), `chatml` the mask of NVIDIA's examples.
Written from docs/strategies.md (D16, D16b, D12); nothing is copied.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from inspector.strategies.labelled import Example, Labelled
from inspector.strategies.prefixes import char_bits

CHATML_HEADER, CHATML_END = "<|im_start|>assistant\n", "<|im_end|>"


def string_span(example: Example, *, response_template: str) -> Labelled:
    """Train from behind every place of `response_template` in the text up to and including the next stop token.

    Stop tokens are the eos and those that end the conversation's turns; without one the answer runs to the next place
    or to the end. Raises ValueError for an empty template. Source: what the last seed intended, docs/strategies.md D16.
    """
    _check_text("response_template", response_template)
    tokens, text = example.tokens, example.rendered.text
    stops = {tokens.ids[turn.stop_token] for turn in example.turns.values() if turn.stop_token is not None}
    stops |= {example.tokenizer.eos_token_id}
    ends = [span[1] for span, id in zip(tokens.char_spans, tokens.ids, strict=True) if id in stops]
    places = [match.span() for match in re.finditer(re.escape(response_template), text)]
    limits = [start for start, _ in places[1:]] + [len(text)]
    spans = []
    for (_, start), limit in zip(places, limits, strict=False):  # without a place there is one limit too many
        place = bisect_right(ends, start)
        spans.append((start, min(limit, ends[place]) if place < len(ends) else limit))
    return _of_spans(example, spans, response_template)


def chatml(example: Example) -> Labelled:
    """Train between each `<|im_start|>assistant` line and its `<|im_end|>`: the stop token is never trained.

    No options, no errors. Source: NVIDIA's ChatML examples, docs/strategies.md D12.
    """
    return _of_spans(example, list(_between(example.rendered.text, CHATML_HEADER, CHATML_END)), CHATML_HEADER)


def llama3_sft(example: Example, *, response_template: str) -> Labelled:
    """Train what the llama3-sft collator trains: it loses the start of the answer.

    The first place of `response_template` in the decoded row counts; the answer begins as many tokens before the end as
    the rest has alone, and as many more as the template has ids are masked. A template that is not there goes unnoticed
    (Python finds it at -1): then all but the row's start is trained. The pad id is never trained. Raises ValueError for
    an empty template. Source: docs/strategies.md D16b; the last two from running it.
    """
    _check_text("response_template", response_template)
    text = str(example.tokenizer.decode(list(example.tokens.ids)))
    found = text.find(response_template)
    rest = len(example.ids_of(text[found + len(response_template) :]))
    start = len(example) - rest + len(example.ids_of(response_template))
    pad = example.tokenizer.pad_token_id
    bits = [index >= start and id != pad for index, id in enumerate(example.tokens.ids)]
    if found >= 0:
        return Labelled.by_rule(bits)
    warning = f"Could not find response key: {response_template!r} is not in the row, and the trainer does not notice."
    return Labelled.by_rule(bits, warnings=[warning])


def _between(text: str, opening: str, closing: str) -> Iterator[tuple[int, int]]:
    """Yield the characters between each `opening` and the next `closing`, or the end."""
    at = text.find(opening)
    while at >= 0:
        start = at + len(opening)
        end = text.find(closing, start)
        end = len(text) if end < 0 else end
        yield start, end
        at = text.find(opening, end)


def _of_spans(example: Example, spans: list[tuple[int, int]], looked_for: str) -> Labelled:
    bits = char_bits(example.tokens.char_spans, spans)
    if spans:
        return Labelled.by_rule(bits)
    warning = f"{looked_for!r} is not in the text: nothing is trained."
    return Labelled.by_rule(bits, lost=range(len(bits)), warnings=[warning])


def _check_text(option: str, value: str) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{option} is {value!r}, and must be the text that stands before an answer.")
