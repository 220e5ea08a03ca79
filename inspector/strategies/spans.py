"""Find answers in the text by the template's strings, and map them to tokens.

`string_span` is what llama3-sft intended, `llama3_sft` what it does (2024), `chatml` the mask of NVIDIA's examples.
Written from docs/strategies.md (D16, D16b, D12); nothing is copied.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from inspector.errors import StrategyRefusedError
from inspector.strategies.base import Example, Labelled, facts
from inspector.strategies.markers_in_ids import find_all
from inspector.strategies.prefixes import char_bits

CHATML_START, CHATML_HEADER, CHATML_END = "<|im_start|>", "<|im_start|>assistant\n", "<|im_end|>"


@facts("llama3-sft", "as intended", searches_from=0)
def string_span(example: Example, *, response_template: str) -> Labelled:
    """Train from after every match of `response_template` in the text up to and including the next stop token.

    Stop tokens are the eos and those that end the conversation's turns; without one the answer runs to the next match
    or to the end. Raises ValueError for an empty template. Source: what llama3-sft intended, docs/strategies.md D16.
    """
    _check_text("response_template", response_template)
    tokens, text = example.tokens, example.rendered.text
    stops: set[int | None] = {example.tokenizer.eos_token_id}
    stops |= {tokens.ids[turn.stop_token] for turn in example.turns.values() if turn.stop_token is not None}
    ends = [span[1] for span, id in zip(tokens.char_spans, tokens.ids, strict=True) if id in stops]
    places = [match.span() for match in re.finditer(re.escape(response_template), text)]
    limits = [start for start, _ in places[1:]] + [len(text)]
    spans = []
    for (_, start), limit in zip(places, limits, strict=False):  # without a match there is one limit too many
        place = bisect_right(ends, start)
        spans.append((start, min(limit, ends[place]) if place < len(ends) else limit))
    return _of_spans(example, spans, response_template)


@facts("NVIDIA examples", "ChatML")
def chatml(example: Example) -> Labelled:
    """Train the ids after `<|im_start|>assistant` and a line end, up to `<|im_end|>`, which is never trained.

    It compares ids, so a header whose line end merges with the answer's start is not found; a header inside an answer
    begins another one. Raises StrategyRefusedError for a tokenizer in which `<|im_start|>` or `<|im_end|>` is not one
    token, as the original does. Source: NVIDIA's ChatML examples, docs/strategies.md D12.
    """
    for token in (CHATML_START, CHATML_END):
        if len(example.ids_of(token)) != 1:
            raise StrategyRefusedError(
                f"The tokenizer has no token {token!r}, and the trainer refuses such tokenizers: add ChatML's tokens "
                "to it, or use another strategy."
            )
    ids, header, (end,) = example.tokens.ids, example.ids_of(CHATML_HEADER), example.ids_of(CHATML_END)
    headers = find_all(ids, header)
    bits, inside, at = [], False, 0
    for start in [*headers, len(ids)]:
        for id in ids[at:start]:
            inside = inside and id != end
            bits.append(inside)
        bits += [False] * len(header if start < len(ids) else ())
        inside, at = True, start + len(header)
    if headers:
        return Labelled.by_rule(bits)
    warning = f"The ids of {CHATML_HEADER!r}, {header}, are not in the row: nothing is trained."
    return Labelled.by_rule(bits, lost=range(len(bits)), warnings=[warning])


@facts("llama3-sft", "as it is", searches_from=-1, is_compared=False)
def llama3_sft(example: Example, *, response_template: str) -> Labelled:
    """Train what the llama3-sft collator trains: it loses the start of the answer.

    Only the first match of `response_template` in the decoded row counts. The rest of the text after it is tokenized
    alone; the answer begins that many tokens before the end, and as many further tokens as the template has ids are
    masked. A missing template goes unnoticed (Python finds it at -1): then everything but the row's start is trained
    or, if the count is negative, that many tokens at the row's end (Python counts from there). The pad id is never
    trained. Raises ValueError for an empty template. Source: docs/strategies.md D16b; the last two facts come from
    running it.
    """
    _check_text("response_template", response_template)
    text = str(example.tokenizer.decode(list(example.tokens.ids)))
    found = text.find(response_template)
    rest = len(example.ids_of(text[found + len(response_template) :]))
    count = len(example) - rest + len(example.ids_of(response_template))
    start = len(range(len(example))[:count])  # a negative count is one from the end
    pad = example.tokenizer.pad_token_id
    bits = [index >= start and id != pad for index, id in enumerate(example.tokens.ids)]
    if found >= 0:
        return Labelled.by_rule(bits)
    warning = f"Could not find response key: {response_template!r} is not in the row, and the trainer does not notice."
    return Labelled.by_rule(bits, warnings=[warning])


def _of_spans(example: Example, spans: list[tuple[int, int]], looked_for: str) -> Labelled:
    bits = char_bits(example.tokens.char_spans, spans)
    if spans:
        return Labelled.by_rule(bits)
    warning = f"{looked_for!r} is not in the text: nothing is trained."
    return Labelled.by_rule(bits, lost=range(len(bits)), warnings=[warning])


def _check_text(option: str, value: str) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{option} is {value!r}, and must be the text that stands before an answer.")
