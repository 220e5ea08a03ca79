"""Masks from `{% generation %}` tags in the template: that of transformers, and TRL's assistant_only_loss on top of it.

transformers 5.23 (`return_assistant_tokens_mask`) and trl 1.16. Written from docs/strategies.md (D4, D5) and proved
equal to both in the tests. The spans are those that our renderer records, which equal those of transformers.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inspector.conversation import Step
from inspector.errors import StrategyRefusedError
from inspector.strategies.base import Example, Labelled, facts, overlapping

_TAG = re.compile(r"\{%-?\s*generation\s*-?%\}")

Span = tuple[int, int]


@facts("transformers", "return_assistant_tokens_mask", version="5", reads_tags=True)
def generation_tags(example: Example, *, exact: bool = False, max_length: int | None = None) -> Labelled:
    """Train the tokens of the template's generation spans, as transformers' tokenizers mark them.

    `exact`: mark every token that overlaps a span, as transformers' processors do. `max_length`: truncate to it, on the
    tokenizer's truncation side, before the spans are looked up. Unless `exact`, two bugs of transformers are kept: a
    span that ends in token 0 (or beyond the truncation) marks all the rest, and a span that begins in text that is cut
    off ends the search. Raises StrategyRefusedError for a tokenizer without offsets, and if transformers itself fails.
    Source: docs/strategies.md D4.
    """
    check_length(max_length)
    spans = example.rendered.generation_spans
    kept = _kept(example, max_length)
    encoding = _encoding(example, max_length)
    warnings = [] if has_tags(example.template) else [_NO_TAGS]
    if exact:
        bits = overlap_bits(encoding["offset_mapping"], spans)
    else:
        bits, notes = tag_bits(encoding, spans)
        warnings += notes
    whole = [False] * len(example)
    whole[kept.start : kept.stop] = bits
    cut = set(range(len(example))) - set(kept)
    lost = range(len(example)) if not any(bits) else ()
    return Labelled.by_rule(whole, cut=cut, lost=lost, warnings=warnings)


_NO_TAGS = "The chat template has no {% generation %} tags, so transformers marks no assistant tokens."


def tag_bits(encoding: Any, spans: Sequence[Span]) -> tuple[list[bool], list[str]]:
    """(bit per token, warnings), from spans to tokens as transformers does it. `encoding`: one tokenized text."""
    count = len(encoding["input_ids"])
    bits = [False] * count
    warnings = []
    for start, end in spans:
        try:
            first, last = encoding.char_to_token(0, start), encoding.char_to_token(0, end - 1)
        except OverflowError as error:  # an empty span at the very start: there is no character before it
            raise StrategyRefusedError(
                "transformers fails here: the template's first generation span is empty and begins at character 0."
            ) from error
        if first is None:
            warnings.append(
                f"The span of characters {start} to {end} begins in no token, and transformers stops at it: this and "
                "all later spans are not trained."
            )
            break
        if not last:
            where = "in token 0" if last == 0 else "in no token"
            warnings.append(
                f"The span of characters {start} to {end} ends {where}; transformers takes that for 'no end' and marks "
                "all the rest of the row."
            )
        stop = last + 1 if last else count
        bits[first:stop] = [True] * max(0, stop - first)
    return bits, warnings


def overlap_bits(offsets: Sequence[Span], spans: Sequence[Span]) -> list[bool]:
    """A bit per token: whether it overlaps a span. The rule of transformers' processors."""
    return overlapping(offsets, spans)


def _encoding(example: Example, max_length: int | None) -> Any:
    if not example.tokens.has_offsets:
        name = type(example.tokenizer).__name__
        raise StrategyRefusedError(f"{name} cannot say which token a character is in; transformers refuses it here.")
    return example.tokenizer(
        example.rendered.text,
        add_special_tokens=False,
        return_offsets_mapping=True,
        truncation=max_length is not None,
        max_length=max_length,
        verbose=False,
    )


def _kept(example: Example, max_length: int | None) -> range:
    count = len(example)
    if max_length is None or max_length >= count:
        return range(count)
    from_left = example.tokenizer.truncation_side == "left"
    return range(count - max_length, count) if from_left else range(max_length)


# --- TRL


@facts("TRL", "assistant_only_loss=True", version="1.16", makes=frozenset({Step.TOOLS}), reads_tags=True, is_known=True)
def trl_assistant_only(example: Example, *, max_length: int | None = None) -> Labelled:
    """Train what TRL's SFTTrainer trains with `assistant_only_loss=True`.

    A template without generation tags is replaced by the patched twin that the installed trl stores for it; if the twin
    writes another text, that text is shown. `max_length`: TRL truncates the labelled row to it. Raises
    StrategyRefusedError if TRL fails: no twin, or nothing marked. Source: docs/strategies.md D5.
    """
    check_length(max_length)
    trained, warnings = example, []
    if not has_tags(example.template):
        trained = example.remake(example.conversation, training_twin(example.template))
        warnings.append("The template has no {% generation %} tags: TRL renders with its own patched twin of it.")
        if trained.rendered.text != example.rendered.text:
            warnings.append("TRL's twin writes another text than the model's template: this is the text it trains on.")
    bits, notes = tag_bits(_encoding(trained, None), trained.rendered.generation_spans)
    if not any(bits):
        raise StrategyRefusedError(
            "TRL refuses this row: at least one example has no assistant tokens. The template's tags mark nothing in "
            "this conversation."
        )
    kept = range(len(bits) if max_length is None else min(max_length, len(bits)))
    if not any(bits[: kept.stop]):
        warnings.append(f"TRL drops this row: nothing trained is left in its first {max_length} tokens.")
    changed = None if trained.rendered.text == example.rendered.text else trained
    cut = range(kept.stop, len(bits))
    return Labelled.by_rule(bits, cut=cut, warnings=warnings + notes, example=changed)


def has_tags(template: str) -> bool:
    """Whether a template has generation tags."""
    return _TAG.search(template) is not None


def training_twin(template: str) -> str:
    """The source of the training template that the installed trl stores for this template.

    Only an exactly equal template has one. Raises StrategyRefusedError if there is none, or if trl is not installed.
    """
    folder = _trl_templates()
    if folder is None:
        raise StrategyRefusedError(
            "The template has no {% generation %} tags, and trl, which keeps patched twins of some, is not installed."
        )
    for twin in sorted(folder.glob("*_training.jinja")):
        stored = twin.with_name(twin.name.replace("_training.jinja", ".jinja"))
        if stored.is_file() and stored.read_text(encoding="utf-8") == template:
            return twin.read_text(encoding="utf-8")
    raise StrategyRefusedError(
        "TRL refuses this template: it is not training-compatible (no {% generation %} tags) and is not one of those "
        "that trl stores a patched twin of. Add the tags, or use another strategy."
    )


def _trl_templates() -> Path | None:
    spec = importlib.util.find_spec("trl")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "chat_templates"


def check_length(max_length: int | None) -> None:
    """Raise ValueError for a value that is not a length."""
    if max_length is not None and (isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 1):
        raise ValueError(f"max_length is {max_length!r}, and must be a number of tokens from 1 on, or null.")
