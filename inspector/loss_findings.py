"""Findings about what a strategy trains, turn by turn: one small function per code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from inspector.finding import Code, Finding, Severity
from inspector.origins import OriginKind, Run
from inspector.strategies import Example, Labelled
from inspector.strategies.markers_in_ids import find_all as find_ids
from inspector.strategies.markers_in_ids import id_list
from inspector.turns import Turn

BOILERPLATE_SHARE = 0.75
"""Share of the trained tokens from which on the template's text counts as too much."""
SEARCHING = {
    "home_llm": 0,
    "home_llm_intended": 0,
    "responses_only": 0,
    "string_span": 0,
    "llama3_sft": -1,
    "trl_completion_collator": -1,
}
"""Strategies that search for a marker, and the first answer that each of them is sure to look for (-1: the last)."""
_FEW_TOKENS = 8
"""Below so many trained tokens a share says nothing."""


def find_missed_markers(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Answers that a searching strategy did not find, with the token that holds the boundary."""
    if labelled.strategy not in SEARCHING:
        return
    for index, turn in list(_answers(example))[SEARCHING[labelled.strategy] :]:
        tokens = example.tokens
        answer = [i for i in turn.tokens if tokens.char_spans[i][1] > turn.answer_start]
        if turn.stop_token is not None:
            answer = [i for i in answer if i <= turn.stop_token]
        if not answer or any(labelled.trained[i] for i in answer):
            continue
        at = answer[0]
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
            f"{before}: {why}.",
            remedy="Take the ids as they are in context (the markers command proposes verified ones), or train exact "
            "labels with the traced strategy.",
        )


def find_long_suffix(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Suffix ids that hold the prefix ids: the next turn's header."""
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
    for index, turn in _answers(example):
        header = turn.header
        if header is None:
            continue
        own = [
            i for i in turn.tokens if labelled.trained[i] and header.start <= spans[i][0] < spans[i][1] <= header.end
        ]
        if own:
            text = "".join(example.tokens.texts[i] for i in own)
            yield Finding(
                code=Code.PROMPT_TEXT_IN_LOSS,
                severity=Severity.WARNING,
                message_index=index,
                token_span=(own[0], own[-1] + 1),
                detail=f"{len(own)} trained tokens of message {index} are supplied by the generation prompt at "
                f"inference: {text!r}. The model spends loss on what it never has to write.",
                remedy="Begin training behind the header, as the traced strategy does.",
            )


def find_empty_answers(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Turns in which the stop token alone trains."""
    for index, turn in _answers(example):
        if turn.stop_token is not None and [i for i in turn.tokens if labelled.trained[i]] == [turn.stop_token]:
            yield Finding(
                code=Code.ONLY_STOP_TRAINED,
                severity=Severity.WARNING,
                message_index=index,
                token_span=(turn.stop_token, turn.stop_token + 1),
                detail=f"Of message {index} only the stop token trains: the model learns to answer with nothing.",
                remedy="Remove the empty message, or give it its answer.",
            )


def find_boilerplate(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Examples in which most of the trained tokens are the template's own text."""
    trained = [i for i, bit in enumerate(labelled.trained) if bit]
    own = [i for i in trained if all(run.origin.kind is not OriginKind.MESSAGE for run in example.tokens.runs[i])]
    if len(trained) < _FEW_TOKENS or len(own) <= BOILERPLATE_SHARE * len(trained):
        return
    yield Finding(
        code=Code.BOILERPLATE_LOSS_SHARE,
        severity=Severity.NOTE,
        message_index=None,
        token_span=(own[0], own[0] + 1),
        detail=f"{len(own)} of {len(trained)} trained tokens are the template's text, not the answers'.",
        remedy="Leave parts out by policy (stop='last', reasoning=False), or use longer answers.",
    )


def find_misplaced_tags(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Generation spans that do not hold the answer they are about: tags inside set blocks or macros are shifted."""
    spans = example.rendered.generation_spans
    for index, turn in _answers(example):
        near = [span for span in spans if span[0] < turn.end and span[1] > turn.start]
        own = [(start, end) for start, end, run in turn.runs if _is_answer(run, index) and start >= turn.answer_start]
        outside = [own_span for own_span in own if not any(a <= own_span[0] and own_span[1] <= b for a, b in near)]
        if near and outside:
            (start, end), (lost, _) = near[0], outside[0]
            yield Finding(
                code=Code.TAGS_MISPLACED,
                severity=Severity.ERROR,
                message_index=index,
                token_span=turn.token_span,
                detail=f"A generation tag is recorded at characters {start} to {end}, "
                f"{example.rendered.text[start:end][:60]!r}, and does not hold the answer of message {index}, which "
                f"goes on at {lost}: transformers counts what was written before the tag, and text captured by a set "
                "block or a macro is not written yet.",
                remedy="Move the tags to the top level of the loop over the messages.",
            )


def find_rewritten_history(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Templates that render earlier messages differently once later ones follow."""
    rewritten = [header.message_index for header in example.rendered.headers if not header.history_kept]
    if not rewritten:
        return
    turn = example.turns.get(rewritten[0])
    yield Finding(
        code=Code.TEMPLATE_NOT_PREFIX_STABLE,
        severity=Severity.WARNING,
        message_index=rewritten[0],
        token_span=None if turn is None else turn.token_span,
        detail=f"Before message {rewritten[0]} the template renders the history differently from how it does in the "
        "whole example: what trains is not what the model is given when it has to write that answer.",
        remedy="Make one example per assistant turn, each with its history as it is rendered at that point.",
    )


def _answers(example: Example) -> Iterator[tuple[int, Turn]]:
    return ((i, turn) for i, turn in example.turns.items() if example.conversation.role(i) == "assistant")


def _is_answer(run: Run, message_index: int) -> bool:
    """Whether a run is text of this message, other than its role."""
    origin = run.origin
    return origin.kind is OriginKind.MESSAGE and origin.message_index == message_index and origin.field != "role"


LOSS_FINDERS: tuple[Callable[[Example, Labelled], Iterable[Finding]], ...] = (
    find_missed_markers,
    find_long_suffix,
    find_prompt_text,
    find_empty_answers,
    find_boilerplate,
    find_misplaced_tags,
    find_rewritten_history,
)
"""Every finder of this file."""
