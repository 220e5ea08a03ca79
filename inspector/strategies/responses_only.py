"""Find answers by the ids of the user's and the assistant's headers: Unsloth's `train_on_responses_only`.

Unsloth (2025). Written from the description in docs/strategies.md (D7), never from its code. Each header is cut to
the ids that stay the same whatever text is next to it; ids cut off at its edges are included where they are present.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inspector.errors import StrategyRefusedError
from inspector.rendering.origins import Origin, OriginKind
from inspector.strategies.base import Example, Labelled, facts
from inspector.strategies.boundaries import shared_length

PROBES = "\\{aA1(.<}>"
"""Characters that are put next to a header to find its constant ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A header's ids: the required ones, and those that may come before and after them."""

    core: tuple[int, ...]
    left: tuple[int, ...] = ()
    right: tuple[int, ...] = ()


@facts("Unsloth", "train_on_responses_only", version="2026.10.9", searches_from=0, is_known=True)
def responses_only(
    example: Example,
    *,
    instruction_part: str | None = None,
    response_part: str | None = None,
    last_only: bool = False,
    mask_out_tokens: Sequence[str] = (),
) -> Labelled:
    """Train from after each `response_part` to the eos, the next `instruction_part` or the end.

    The parts are the texts of the two headers; a missing part is read from this conversation. `last_only`: the last
    answer only. `mask_out_tokens`: texts whose ids do not train wherever they stand, such as `</think>`. Raises
    ValueError for a part without tokens and for texts to mask that are none, and StrategyRefusedError if a missing part
    cannot be read. Source: Unsloth, docs/strategies.md D7.
    """
    parts = {
        "instruction_part": _user_header(example) if instruction_part is None else instruction_part,
        "response_part": _assistant_header(example) if response_part is None else response_part,
    }
    for name, part in parts.items():
        if not isinstance(part, str) or not example.ids_of(part):
            raise ValueError(f"{name} is {part!r}, and must be the text of a header.")
    question, answer = markers(example, *parts.values())
    spans = answer_spans(example, question, answer)
    bits = [False] * len(example)
    for start, stop in spans[-1:] if last_only else spans:
        bits[start:stop] = [True] * len(bits[start:stop])
    for start, stop in _masked_out(example, mask_out_tokens):
        bits[start:stop] = [False] * (stop - start)
    warnings = []
    if not any(bits):
        warnings.append(
            f"All labels of this row are -100: the ids {list(answer.core)} of {parts['response_part']!r} are not in it."
        )
    return Labelled.by_rule(bits, lost=range(len(bits)) if warnings else (), warnings=warnings)


def _masked_out(example: Example, texts: Sequence[str]) -> list[tuple[int, int]]:
    """Where the ids of texts stand, alone or as they are after a blank where that changes them."""
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"mask_out_tokens is {texts!r}, and must be a list of texts.")
    ids, found = example.tokens.ids, []
    for text in texts:
        bare, spaced = example.ids_of(text), example.ids_of(f" {text}")
        holds_bare = any(_is_at(spaced, bare, at) for at in range(len(spaced) - len(bare) + 1))
        for masked in [bare] if holds_bare else [bare, spaced]:
            starts = [at for at in range(len(ids)) if masked and _is_at(ids, masked, at)]
            found += [(at, at + len(masked)) for at in starts]
    return found


# --- markers


def markers(example: Example, instruction: str, response: str) -> tuple[Marker, Marker]:
    """The two markers. If one core begins the other, both get back the ids that were cut off after them."""
    question, answer = _marker(example, instruction), _marker(example, response)
    shared = min(len(question.core), len(answer.core))
    if question.core[:shared] == answer.core[:shared]:
        question, answer = (Marker(core=marker.core + marker.right, left=marker.left) for marker in (question, answer))
    return question, answer


def _marker(example: Example, part: str) -> Marker:
    ids = example.ids_of(part)
    start, stop = 0, len(ids)
    for probe in PROBES:
        stop = min(stop, shared_length(ids, example.ids_of(part + probe)))
        after = shared_length(ids[::-1], example.ids_of(probe + part)[::-1])
        start = max(start, len(ids) - after)
    core = ids[start:stop]
    added = example.tokenizer.added_tokens_decoder
    if len(core) == len(ids) or not any(id in added and str(added[id].content).strip() for id in core):
        return Marker(core=tuple(ids))
    return Marker(core=tuple(core), left=tuple(ids[:start]), right=tuple(ids[stop:]))


def _opener(example: Example, question: Marker, answer: Marker) -> tuple[int, ...]:
    """The common start of both headers, if it consists of special tokens that are not blank."""
    shared = question.core[: shared_length(question.core, answer.core)]
    added = example.tokenizer.added_tokens_decoder
    special = [id in added and added[id].special and str(added[id].content).strip() for id in shared]
    return shared if shared and all(special) else ()


# --- the scan


def answer_spans(example: Example, question: Marker, answer: Marker) -> list[tuple[int, int]]:
    """The token spans that are trained, in order."""
    ids = example.tokens.ids
    opener = _opener(example, question, answer)
    spans = []
    at = 0
    while at < len(ids):
        if not _is_at(ids, answer.core, at):
            at += 1
            continue
        start = at + len(answer.core)
        start += shared_length(ids[start : start + len(answer.right)], answer.right)
        if start == len(ids):  # a header at the very end opens no answer
            break
        stop, at = _answer_end(example, start, question, answer, opener)
        spans.append((start, stop))
    return spans


def _answer_end(
    example: Example, start: int, question: Marker, answer: Marker, opener: tuple[int, ...]
) -> tuple[int, int]:
    """(the end of the answer that begins at `start`, the place where the search continues)."""
    ids = example.tokens.ids
    bos, eos = example.tokenizer.bos_token_id, example.tokenizer.eos_token_id
    for at in range(start, len(ids)):
        if ids[at] == eos:
            return at + 1, at + 1
        if _is_at(ids, question.core, at):
            left = shared_length(ids[start:at][::-1], question.left[::-1])
            return at - left, at + len(question.core)
        if ids[at] == bos or _is_at(ids, answer.core, at) or (opener and _is_at(ids, opener, at)):
            return at, at
    return len(ids), len(ids)


def _is_at(ids: Sequence[int], marker: Sequence[int], at: int) -> bool:
    return tuple(ids[at : at + len(marker)]) == tuple(marker)


# --- headers of the conversation at hand


def _assistant_header(example: Example) -> str:
    prompts = [header.prompt for header in example.rendered.headers if header.prompt.strip()]
    if not prompts:
        raise StrategyRefusedError("Give response_part: this conversation shows no assistant header to take it from.")
    return min(prompts, key=len)


def _user_header(example: Example) -> str:
    """The template's text before the first character of the last user message, in its turn, without a bos."""
    for index in reversed(range(len(example.conversation.messages))):
        if example.conversation.role(index) != "user" or index not in example.turns:
            continue
        turn = example.turns[index]
        starts = [start for start, _, run in turn.runs if _is_own_text(run.origin)]
        header = example.rendered.text[turn.start : starts[0]] if starts else ""
        header = header.removeprefix(example.tokenizer.bos_token or "")
        if header.strip():
            return header
    raise StrategyRefusedError("Give instruction_part: this conversation shows no user header to take it from.")


def _is_own_text(origin: Origin) -> bool:
    """Whether it is text of a message other than its role, which headers name."""
    return origin.kind is OriginKind.MESSAGE and origin.top_field != "role"
