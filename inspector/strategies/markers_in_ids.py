"""Trainers that search for marker ids in a row's ids, and so do not know characters.

home-llm's collator (2024), TRL's DataCollatorForCompletionOnlyLM (up to 0.19; removed in 0.20), and
the notebook mask that alternates between bos and eos. Written from their description in docs/strategies.md (D2, D3,
D3b), which was checked against their own code; nothing is copied. All three lose turns when a marker's ids merge with
the text next to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inspector.errors import StrategyRefusedError
from inspector.strategies.base import Example, Labelled, facts

Ids = Sequence[int]


@facts("home-llm", "as it is", version="2025-11", searches_from=0)
def home_llm(example: Example, *, prefix_ids: Ids | str, suffix_ids: Ids | str) -> Labelled:
    """Train what home-llm trains, its bugs included.

    `prefix_ids`, `suffix_ids`: ids (or a text of ids, `1,2,3`) before and after a response. Only the first id of the
    suffix is trained. The last token of every row is trained, unless the row ends in the prefix. If only the first id
    of the suffix matches, the turn is lost. Raises ValueError for values that are not ids. Source: home-llm's train.py,
    docs/strategies.md D2.
    """
    prefix, suffix = id_list("prefix_ids", prefix_ids), id_list("suffix_ids", suffix_ids)
    bits, lost, is_lost_whole = home_llm_bits(example.tokens.ids, prefix, suffix)
    warnings = []
    if is_lost_whole:
        warnings.append("warning! example had no assistant response in it! The prefix and suffix were not found.")
    if lost:
        turns = "a turn" if len(lost) == 1 else f"{len(lost)} turns"
        warnings.append(
            f"The trainer loses {turns}: after the prefix comes the first id of the suffix, {suffix[0]}, but not the "
            f"rest of {suffix}."
        )
    missed = range(len(bits)) if is_lost_whole else {i for span in lost for i in range(*span)}
    return Labelled.by_rule(bits, lost=missed, warnings=warnings)


def home_llm_bits(ids: Ids, prefix: Ids, suffix: Ids) -> tuple[list[bool], list[tuple[int, int]], bool]:
    """(bit per token, token spans of the turns that are lost, whether the trainer warns that it found nothing)."""
    count = len(ids)
    responses: list[tuple[int, int]] = []
    lost: list[tuple[int, int]] = []
    for start, end, is_found in _delimited(ids, prefix, suffix):
        (responses if is_found else lost).append((start, end))
    # A response is kept from one past its first id: the gaps before it end one short.
    gaps, covered = [], 0
    for start, end in sorted((start + 1, end) for start, end in responses):
        if start > covered:
            gaps.append((covered, start - 1))
        covered = max(covered, end + 1)
    if covered < count:
        gaps.append((covered, count - 1))
    bits = [True] * count
    for start, end in gaps:
        bits[start:end] = [False] * len(bits[start:end])
    return bits, lost, any(end - start == count - 1 for start, end in gaps)


def _delimited(ids: Ids, prefix: Ids, suffix: Ids) -> Iterator[tuple[int, int, bool]]:
    """Yield (first id after a prefix, end, True), or False if the suffix there is incomplete and the turn is lost."""
    at = 0
    while (start := _index(ids, prefix[0], at)) is not None:
        if list(ids[start : start + len(prefix)]) != list(prefix):
            at = start + 1
            continue
        begin = start + len(prefix)
        end = _index(ids, suffix[0], begin)
        if end is None:
            yield begin, len(ids), True
            return
        is_whole = list(ids[end : end + len(suffix)]) == list(suffix)
        yield begin, end, is_whole
        at = end + (len(suffix) if is_whole else 1)


@facts("home-llm", "as intended", version="2025-11", searches_from=0)
def home_llm_intended(example: Example, *, prefix_ids: Ids | str, suffix_ids: Ids | str) -> Labelled:
    """Train what home-llm intends: every response between prefix and suffix, and the whole suffix; nothing else.

    Options as for `home_llm`. The whole suffix is searched for; a response without one runs to the end. Ours.
    """
    prefix, suffix = id_list("prefix_ids", prefix_ids), id_list("suffix_ids", suffix_ids)
    ids = example.tokens.ids
    bits = [False] * len(ids)
    at = 0
    while (start := next(_places(ids, prefix, at), None)) is not None:
        begin = start + len(prefix)
        end = next(_places(ids, suffix, begin), None)
        at = len(ids) if end is None else end + len(suffix)
        bits[begin:at] = [True] * (at - begin)
    warnings = [] if any(bits) else ["The prefix was not found: nothing is trained."]
    return Labelled.by_rule(bits, lost=range(len(bits)) if warnings else (), warnings=warnings)


@facts(
    "TRL 0.19 and older", "DataCollatorForCompletionOnlyLM", version="0.19.1", searches_from=-1, takes=("instruction",)
)
def trl_completion_collator(example: Example, *, response: Ids | str, instruction: Ids | str | None = None) -> Labelled:
    """Train what TRL's DataCollatorForCompletionOnlyLM trains.

    `response`, `instruction`: the templates, as ids or as text, which is tokenized alone. Without an instruction only
    the text after the last response template is trained. The tokenizer's pad id is never trained, even if it is the
    stop token. Raises ValueError for an empty template. Source: trl 0.19, docs/strategies.md D3.
    """
    start = _ids_or_text(example, "response", response)
    user = None if instruction is None else _ids_or_text(example, "instruction", instruction)
    pad = example.tokenizer.pad_token_id
    bits, missing = completion_collator_bits(example.tokens.ids, start, user, pad)
    warnings = []
    if pad is None:
        warnings.append(
            "The tokenizer has no pad token, and the collator fails until it has one. Where that is the eos, as older "
            "versions of TRL set it, the eos is never trained."
        )
    if missing:
        named = {"response": start, "instruction": user or []}
        warnings += [f"Could not find {what} key: the ids {list(named[what])} are not in the row." for what in missing]
    return Labelled.by_rule(bits, lost=range(len(bits)) if missing else (), warnings=warnings)


def completion_collator_bits(
    ids: Ids, response: Ids, instruction: Ids | None, pad_id: int | None
) -> tuple[list[bool], list[str]]:
    """(bit per token, the templates that were not found: "response", "instruction")."""
    labels: list[int | None] = [None if id == pad_id else id for id in ids]
    after = [at + len(response) for at in find_all(labels, response)]
    missing = []
    if not after:
        missing.append("response")
        labels = [None] * len(labels)
    if instruction is None:
        if after:
            labels[: after[-1]] = [None] * after[-1]
        return [label is not None for label in labels], missing
    users = find_all(labels, instruction)  # in text that a missing response has already masked
    if not users:
        missing.append("instruction")
        labels = [None] * len(labels)
    if users and after and users[0] > after[0]:
        users.insert(0, 0)
    for turn, (start, end) in enumerate(zip(users, after, strict=False)):
        start = start if turn else 0
        labels[start:end] = [None] * len(labels[start:end])
    if len(after) < len(users):
        labels[users[-1] :] = [None] * len(labels[users[-1] :])
    return [label is not None for label in labels], missing


@facts("masking notebook", "from bos to eos")
def bos_eos(example: Example) -> Labelled:
    """Train from after each bos up to and including the next eos, as `create_special_mask` of a masking notebook does.

    It expects rows with a bos before each answer. Raises StrategyRefusedError for a tokenizer without bos or eos.
    Source: docs/strategies.md D3b.
    """
    bos, eos = example.tokenizer.bos_token_id, example.tokenizer.eos_token_id
    if bos is None or eos is None:
        name = "bos" if bos is None else "eos"
        raise StrategyRefusedError(f"The tokenizer has no {name} token, so nothing marks the answers.")
    bits, inside = [], False
    for id in example.tokens.ids:
        bits.append(inside)
        inside = id != eos if inside else id == bos
    warnings = [] if any(bits) else [f"The bos id {bos} is not in the row: nothing is trained."]
    return Labelled.by_rule(bits, lost=range(len(bits)) if warnings else (), warnings=warnings)


# --- ids


def id_list(option: str, value: Ids | str) -> list[int]:
    """Ids from a list of ids or a text of them (`151644,77091,198`). Raises ValueError."""
    try:
        found = [int(part) for part in value.split(",")] if isinstance(value, str) else list(value)
    except (TypeError, ValueError):
        found = []
    if not found or any(isinstance(id, bool) or not isinstance(id, int) for id in found):
        raise ValueError(f"{option} is {value!r}, and must be at least one token id, such as 151645,198.")
    return found


def find_all(ids: Sequence[int | None], marker: Ids, start: int = 0) -> list[int]:
    """The starts of `marker` in `ids`, from `start` on; matches may overlap."""
    return list(_places(ids, marker, start))


def _places(ids: Sequence[int | None], marker: Ids, start: int) -> Iterator[int]:
    first, wanted, size = marker[0], list(marker), len(marker)
    for at in range(start, len(ids) - size + 1):
        if ids[at] == first and list(ids[at : at + size]) == wanted:
            yield at


def _ids_or_text(example: Example, option: str, value: Ids | str) -> list[int]:
    if not isinstance(value, str):
        return id_list(option, value)
    ids = example.ids_of(value)
    if not ids:
        raise ValueError(f"{option} is {value!r}, which has no tokens.")
    return ids


def _index(ids: Ids, id: int, start: int) -> int | None:
    return next((at for at in range(start, len(ids)) if ids[at] == id), None)
