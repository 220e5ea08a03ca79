"""Findings about an example, as typed data: one small function per code.

Each `find_*` takes the example and the strategy's labels and yields findings; `find_all` runs them. A finding has a
detail (with the actual text and ids), a place (message, tokens), and one remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from inspector.conversation import TEXT_ROLE, is_flagged
from inspector.errors import short
from inspector.findings.codes import Code, Finding, Severity
from inspector.findings.content import find_lost_content
from inspector.findings.images import IMAGE_FINDERS
from inspector.findings.labels import LABEL_FINDERS, REMEDY, with_own_remedy
from inspector.findings.loss import LOSS_FINDERS
from inspector.findings.places import describe, message_of, span_of
from inspector.findings.rows import ROW_FINDERS
from inspector.findings.template import TEMPLATE_FINDERS
from inspector.findings.tokenizer import TOKENIZER_FINDERS
from inspector.model.tokenizer import ids_alone
from inspector.rendering.origins import Origin, OriginKind
from inspector.strategies import Example, Labelled, Reason
from inspector.tokens import owner


def find_all(example: Example, labelled: Labelled) -> list[Finding]:
    """Every finding, errors first, otherwise in the order of the text."""
    found = [with_own_remedy(example, finding) for find in _FINDERS for finding in find(example, labelled)]
    order = list(Severity)
    return sorted(found, key=lambda f: (order.index(f.severity), (f.token_span or (0, 0))[0]))


# --- one function per code


def find_boundary_merges(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """One finding per distinct merged token and severity: the first place, and the number of places.

    Merges inside a fully trained answer, such as the quotes of a tool call, make one finding together.
    """
    mixed = set(labelled.mixed)
    seen: dict[tuple[int | None, Severity], tuple[Finding, int]] = {}
    for index in range(len(example.tokens)):
        if index not in mixed and not example.tokens.is_straddler(index):
            continue
        severity = Severity.WARNING if index in mixed else Severity.NOTE
        is_inside = labelled.trained[index] and index not in mixed
        key = None if is_inside else example.tokens.ids[index], severity
        first, count = seen.get(key) or (_boundary_merge(example, labelled, index, severity), 0)
        seen[key] = (first, count + 1)
    for (id, _), (finding, count) in seen.items():
        what = "Tokens merge text inside trained answers" if id is None else "The same token merges text"
        more = "" if count == 1 else f" {what} in {count} places; this is the first."
        yield replace(finding, detail=finding.detail + more)


def _boundary_merge(example: Example, labelled: Labelled, index: int, severity: Severity) -> Finding:
    tokens = example.tokens
    parts = _parts(example, index)
    named = " and ".join(f"{text!r} from {describe(origin)}" for text, origin in parts)
    alone = " and ".join(str(ids_alone(example.tokenizer, text)) for text, _ in parts)
    if severity is Severity.WARNING:
        state = "is trained although" if labelled.trained[index] else "is not trained, and"
        effect = f"The token {state} only part of it should be."
        remedy = "Change the text at the seam so that it no longer merges, or leave straddlers out (straddlers=False)."
    else:
        effect = "A search for the ids of either text alone misses it here."
        remedy = "Find the boundary in the text, as the traced strategy does, or use marker ids as they are in context."
    return Finding(
        code=Code.BOUNDARY_MERGE,
        severity=severity,
        message_index=message_of(example, index),
        token_span=(index, index + 1),
        detail=f"Token {index} {tokens.texts[index]!r} (id {tokens.ids[index]}) merges {named}; alone they are "
        f"{alone}. {effect}",
        remedy=remedy,
    )


def _parts(example: Example, index: int) -> list[tuple[str, Origin]]:
    """The token's text, cut where its owner changes; each part with its first origin."""
    position = example.tokens.char_spans[index][0]
    parts = []
    for _, group in groupby(example.tokens.runs[index], key=lambda run: owner(run.origin)):
        runs = list(group)
        length = sum(run.length for run in runs)
        parts.append((example.rendered.text[position : position + length], runs[0].origin))
        position += length
    return parts


def find_no_trained_tokens(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Examples in which nothing is trained, and why."""
    if any(labelled.trained):
        return
    assistants = example.conversation.assistant_indices()
    if example.conversation.labelled is not None and not labelled.cut:
        why, remedy = "the row's own labels leave all of them out", REMEDY
    elif all(message["role"] == TEXT_ROLE for message in example.conversation.messages):
        why = "the row is a rendered text, and nothing in it says who wrote which part"
        remedy = "Choose a strategy that searches the text or its ids, such as string_span or trl_completion_collator."
        if labelled.facts.searches_from is not None:
            why, remedy = "what the strategy looks for is not in the text", "Check its options against the ids shown."
    elif not assistants:
        roles = ", ".join(dict.fromkeys(repr(message["role"]) for message in example.conversation.messages))
        why, remedy = f"no message has the role 'assistant' (roles: {roles})", "Add the answer that is to be learned."
    elif not any(index in example.turns for index in assistants):
        why = "the template renders none of the assistant's messages"
        remedy = "Use a template that renders them, or the message form it expects (list or plain text content)."
    elif labelled.cut:
        why = f"truncation cuts off all {len(labelled.cut)} that would be trained"
        remedy = "Raise max_length, or keep the other end of the row."
    else:
        why = "the strategy leaves every assistant turn out"
        remedy = "Check the strategy's options and the messages' own train flags."
    yield Finding(
        code=Code.NO_TRAINED_TOKENS,
        severity=Severity.ERROR,
        message_index=None,
        token_span=None,
        detail=f"None of the {len(example.tokens)} tokens is trained: {why}.",
        remedy=remedy,
    )


def find_untrained_stops(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Trained turns after which the model does not learn to stop, except those whose end is unknown."""
    for index, turn in example.answers():
        trained = [i for i in turn.tokens if labelled.trained[i]]
        if not trained or (index in example.rendered.unknown_turns and turn.stop_span is None):
            continue
        ends = turn.end_tokens
        if ends and all(labelled.trained[i] or labelled.reasons[i] is Reason.CUT for i in ends):
            continue
        span, remedy = (trained[-1], trained[-1] + 1), "Train the stop token of every turn (stop='every')."
        if turn.stop_span is not None:
            text = example.rendered.text[slice(*turn.stop_span)]
            what = "stop token" if turn.stop_token is not None else "end mark"
            detail = f"the {what} {text!r} of message {index} is not trained"
            span = (ends[0], ends[-1] + 1)
        elif turn.closing_token is not None:
            closing = example.tokens.texts[turn.closing_token]
            detail = f"the template ends message {index} without a stop token; the next header {closing!r} closes it"
            span, remedy = (turn.closing_token, turn.closing_token + 1), "Train that header's token (closing_header)."
        elif example.rendered.is_cut:
            detail = f"the row ends before message {index} does"
        else:
            detail = f"the template writes nothing after message {index} that ends it"
            remedy = "Use a template that ends assistant turns in a stop token the tokenizer knows, mostly eos_token."
        yield Finding(
            code=Code.STOP_TOKEN_NOT_TRAINED,
            severity=Severity.WARNING,
            message_index=index,
            token_span=span,
            detail=f"The model does not learn to end this turn: {detail}.",
            remedy=remedy,
        )


def find_foreign_text(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Trained characters of the user, the system, a tool, the tools or the documents, by provenance."""
    foreign = [_foreign(example, i) if labelled.trained[i] else None for i in range(len(example.tokens))]
    for origin, group in groupby(range(len(foreign)), key=lambda i: foreign[i]):
        if origin is None:
            continue
        indices = list(group)
        span = (indices[0], indices[-1] + 1)
        text = "".join(example.tokens.texts[span[0] : span[1]])
        index = origin.message_index
        who = origin.field if index is None else f"the {example.conversation.role(index)} message {index}"
        yield Finding(
            code=Code.FOREIGN_TEXT_IN_LOSS,
            severity=Severity.ERROR,
            message_index=index,
            token_span=span,
            detail=f"{len(indices)} trained tokens hold text of {who}: {short(text)!r}.",
            remedy="Choose a strategy that trains assistant turns only; where one merged token is to blame, "
            "straddlers=False leaves it out.",
        )


def _foreign(example: Example, index: int) -> Origin | None:
    """The message (as an origin without field) whose foreign text the token holds, or None."""
    for run in example.tokens.runs[index]:
        origin = run.origin
        if origin.kind is not OriginKind.MESSAGE or origin.field == "role":  # a role's name is part of a header
            continue
        if origin.message_index is None:
            return Origin(OriginKind.MESSAGE, None, origin.top_field)
        message = example.conversation.messages[origin.message_index]
        if message["role"] not in ("assistant", TEXT_ROLE) and not is_flagged(message):
            return Origin(OriginKind.MESSAGE, origin.message_index)
    return None


def find_trailing_prompt(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Examples that end in a generation prompt."""
    start = example.rendered.prompt_start
    if start is None:
        return
    first = next((i for i, span in enumerate(example.tokens.char_spans) if span[1] > start), len(example.tokens))
    text = example.rendered.text[start:]
    asked = example.conversation.adds_generation_prompt
    why = "add_generation_prompt is on" if asked else "the template writes it without being asked"
    remedy = "Turn add_generation_prompt off for training rows."
    if not asked:
        remedy = "Use a template that writes it only when add_generation_prompt is set."
    if example.conversation.labelled is not None:
        why, remedy = "the row holds no answer after it", "Leave the row out, or give it its answer."
    yield Finding(
        code=Code.TRAILING_GENERATION_PROMPT,
        severity=Severity.WARNING,
        message_index=None,
        token_span=(first, len(example.tokens)),
        detail=f"The example ends in the generation prompt {text!r}: {why}.",
        remedy=remedy,
    )


def find_unreachable_answers(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Answers that do not begin where the generation prompt ends, and headers that were not measured."""
    for header in example.rendered.headers:
        given = example.rendered.text[header.start : header.end]
        if given.endswith(header.prompt) if header.prompt else not given:
            continue
        actual = example.rendered.text[header.start : header.start + max(len(header.prompt), len(given))]
        same = next((i for i, (a, b) in enumerate(zip(actual, header.prompt, strict=False)) if a != b), 0)
        yield Finding(
            code=Code.UNREACHABLE_FIRST_TOKEN,
            severity=Severity.WARNING,
            message_index=header.message_index,
            token_span=span_of(example, header.message_index),
            detail=f"At inference this answer is asked for with {header.prompt!r}; the example has {actual!r} "
            f"there. Only the first {same} characters agree, so the model is trained on a start that it is "
            "never given.",
            remedy="Set the template's options (enable_thinking, ...) as they will be at inference, or give the "
            "message the part that the prompt supplies, such as its reasoning.",
        )
    assumed = [header.message_index for header in example.rendered.headers if not header.measured]
    if assumed:
        yield Finding(
            code=Code.HEADER_ASSUMED,
            severity=Severity.NOTE,
            message_index=assumed[0],
            token_span=span_of(example, assumed[0]),
            detail=f"From message {assumed[0]} on ({len(assumed)} turns) the generation prompt was not rendered anew "
            "for each turn but taken over from the turn before: the conversation is very long.",
            remedy="Split the conversation to have every header measured.",
        )


def find_slow_tokenizer(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """The tokenizer reports no offsets."""
    if example.tokens.has_offsets:
        return
    yield Finding(
        code=Code.SLOW_TOKENIZER,
        severity=Severity.NOTE,
        message_index=None,
        token_span=None,
        detail=f"{type(example.tokenizer).__name__} reports no character offsets. The spans were found by decoding "
        "groups of tokens and verified by round trip; tokens of one group share a span.",
        remedy="Use the model's fast tokenizer for exact spans.",
    )


_FINDERS: tuple[Callable[[Example, Labelled], Iterable[Finding]], ...] = (
    find_no_trained_tokens,
    find_foreign_text,
    find_boundary_merges,
    find_untrained_stops,
    find_lost_content,
    find_trailing_prompt,
    find_unreachable_answers,
    find_slow_tokenizer,
    *LOSS_FINDERS,
    *TEMPLATE_FINDERS,
    *TOKENIZER_FINDERS,
    *ROW_FINDERS,
    *LABEL_FINDERS,
    *IMAGE_FINDERS,
)
