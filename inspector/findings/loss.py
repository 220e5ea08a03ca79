"""Findings about what a strategy trains, turn by turn: one small function per code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from inspector.findings.codes import Code, Finding, Severity
from inspector.rendering.origins import OriginKind, common_start
from inspector.strategies import Example, Labelled, Reason
from inspector.strategies.markers_in_ids import find_all as find_ids
from inspector.strategies.markers_in_ids import id_list
from inspector.turns import Turn

BOILERPLATE_SHARE = 0.75
"""The template's text is too much from this share of the trained tokens on."""
FEW_TOKENS = 8
"""With fewer trained tokens than this the share means nothing."""


def find_truncation(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Answers that truncation cuts through, or removes."""
    cut, kept = set(labelled.cut), len(labelled.reasons) - labelled.reasons.count(Reason.CUT)
    severity = Severity.WARNING if any(labelled.trained) else Severity.ERROR
    for index, turn in example.answers():
        gone = [i for i in turn.tokens if i in cut]
        left = sum(labelled.trained[i] for i in turn.tokens)
        if not gone:
            continue
        end = f"its stop token is {'' if cut & set(turn.end_tokens) else 'not '}among them"
        yield Finding(
            code=Code.TRUNCATED_RESPONSE if left else Code.TRUNCATED_AWAY,
            severity=severity,
            message_index=index,
            token_span=(gone[0], gone[-1] + 1),
            detail=f"Truncation to {kept} of {len(example)} tokens removes {len(gone)} of the {len(gone) + left} "
            f"tokens of message {index} that would be trained; {end}.",
            remedy=f"Raise max_length (this example needs {len(example)}), or split or drop the example.",
        )


def find_missed_markers(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Answers that a searching strategy did not find, with the token that holds the boundary."""
    first = labelled.facts.searches_from
    if first is None:
        return
    for index, turn in list(example.answers())[first:]:
        tokens = example.tokens
        answer = [i for i in turn.tokens if tokens.char_spans[i][1] > turn.answer_start]
        if turn.stop_span is not None:
            answer = [i for i in answer if i <= turn.end_tokens[-1]]
        if not answer or any(labelled.trained[i] for i in answer):
            continue
        at = answer[0]
        if labelled.reasons[at] is Reason.CUT:
            continue
        swallowed = tokens.char_spans[at][0] < turn.answer_start
        before = list(tokens.ids[max(0, at - 4) : at + swallowed])
        why = (
            f"token {at} {tokens.texts[at]!r} (id {tokens.ids[at]}) holds the end of the header and the start of the "
            "answer"
            if swallowed
            else "the ids before it are others than those searched for"
        )
        yield Finding(
            code=Code.MARKER_NOT_FOUND,
            severity=Severity.ERROR,
            message_index=index,
            token_span=(at, at + 1),
            detail=f"Message {index} is not trained: the marker is not found before it. In context the ids are "
            f"{before}: {why}.{_nearest(example, labelled, turn, at)}",
            remedy="Take the ids as they are in context (the markers command proposes verified ones), or train exact "
            "labels with the traced strategy.",
        )


def _nearest(example: Example, labelled: Labelled, turn: Turn, at: int) -> str:
    """A sentence about the longest start of the marker near the answer's first token, and what follows it.

    Empty for strategies that do not search for ids.
    """
    marker = _marker_ids(example, labelled)
    start = max(0, min(turn.tokens[0], at) - 1)
    ids = example.tokens.ids[start : at + len(marker) + 1]
    lengths = [common_start(ids[i:], marker) for i in range(len(ids))]
    longest = max(lengths, default=0)
    if not marker or longest in (0, len(marker)):
        return ""
    place = start + max(i for i, length in enumerate(lengths) if length == longest) + longest
    wanted = example.tokenizer.convert_ids_to_tokens(marker[longest])
    there = "nothing" if place >= len(example) else f"{example.tokens.ids[place]} {example.tokens.texts[place]!r}"
    return (
        f" The nearest match has the first {longest} of the marker's {len(marker)} ids; then comes {there} (token "
        f"{place}) instead of {marker[longest]} {wanted!r}."
    )


def _marker_ids(example: Example, labelled: Labelled) -> list[int]:
    option = _MARKER_OPTIONS.get(labelled.strategy)
    value = None if option is None else labelled.options.get(option)
    if isinstance(value, str) and labelled.strategy not in ("home_llm", "home_llm_intended"):
        return example.ids_of(value)
    return [] if option is None or value is None else id_list(option, value)


_MARKER_OPTIONS = {
    "home_llm": "prefix_ids",
    "home_llm_intended": "prefix_ids",
    "trl_completion_collator": "response",
    "responses_only": "response_part",
}
"""Strategies that search among ids, and the option that holds the ids."""


def find_long_suffix(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Suffix ids that contain the prefix ids, which are the next turn's header."""
    if "suffix_ids" not in labelled.options:
        return
    prefix, suffix = (id_list(name, labelled.options[name]) for name in ("prefix_ids", "suffix_ids"))
    held = find_ids(suffix, prefix)
    if held:
        stop = suffix[: held[0]] or suffix[:1]
        yield Finding(
            code=Code.SUFFIX_INCLUDES_NEXT_HEADER,
            severity=Severity.ERROR,
            message_index=None,
            token_span=None,
            detail=f"The suffix ids {suffix} hold the prefix ids {prefix} from position {held[0]} on: they match only "
            "where another assistant header follows at once, and an answer that ends otherwise is lost.",
            remedy=f"Use the stop token alone: {stop}.",
        )


def find_prompt_text(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Trained tokens that lie in a header, which the generation prompt supplies."""
    spans = example.tokens.char_spans
    for index, turn in example.answers():
        header = turn.header
        if header is None:
            continue
        supplied = [
            i for i in turn.tokens if labelled.trained[i] and header.start <= spans[i][0] < spans[i][1] <= header.end
        ]
        if supplied:
            text = "".join(example.tokens.texts[i] for i in supplied)
            yield Finding(
                code=Code.PROMPT_TEXT_IN_LOSS,
                severity=Severity.WARNING,
                message_index=index,
                token_span=(supplied[0], supplied[-1] + 1),
                detail=f"{len(supplied)} trained tokens of message {index} are supplied by the generation prompt at "
                f"inference: {text!r}. The model spends loss on what it never has to write.",
                remedy="Begin training after the header, as the traced strategy does.",
            )


def find_empty_answers(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Turns in which only the stop token trains."""
    for index, turn in example.answers():
        ends = turn.end_tokens
        if turn.stop_span is not None and tuple(i for i in turn.tokens if labelled.trained[i]) == ends:
            yield Finding(
                code=Code.ONLY_STOP_TRAINED,
                severity=Severity.WARNING,
                message_index=index,
                token_span=(ends[0], ends[-1] + 1),
                detail=f"Of message {index} only the stop token is trained: the model learns to answer with nothing.",
                remedy="Remove the empty message, or give it its answer.",
            )


def find_boilerplate(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Examples in which most of the trained tokens are the template's own text."""
    trained = [i for i, bit in enumerate(labelled.trained) if bit]
    boilerplate = [
        i for i in trained if all(run.origin.kind is not OriginKind.MESSAGE for run in example.tokens.runs[i])
    ]
    if len(trained) < FEW_TOKENS or len(boilerplate) <= BOILERPLATE_SHARE * len(trained):
        return
    yield Finding(
        code=Code.BOILERPLATE_LOSS_SHARE,
        severity=Severity.NOTE,
        message_index=None,
        token_span=(boilerplate[0], boilerplate[0] + 1),
        detail=f"{len(boilerplate)} of {len(trained)} trained tokens are the template's text, not the answers'.",
        remedy="Leave parts out by policy (stop='last', reasoning=False), or use longer answers.",
    )


LOSS_FINDERS: tuple[Callable[[Example, Labelled], Iterable[Finding]], ...] = (
    find_missed_markers,
    find_long_suffix,
    find_prompt_text,
    find_empty_answers,
    find_boilerplate,
    find_truncation,
)
"""Every finder of this file."""
