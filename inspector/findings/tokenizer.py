"""Findings about the tokenizer's special tokens in an example: one small function per code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher

from inspector.findings.codes import Code, Finding, Severity
from inspector.findings.places import message_of
from inspector.model.tokenizer import ids_alone, text_of
from inspector.rendering.origins import OriginKind, common_start
from inspector.strategies import Example, Labelled
from inspector.tokens import control_tokens


def find_control_tokens(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Text of a message that the tokenizer reads, or would read, as a special token; one finding per message."""
    if not example.encoder.text_becomes_control:
        yield from _spelled_controls(example)
        return
    tokens = example.tokens
    seen: dict[int, list[int]] = {}
    for index, runs in enumerate(() if example.unread else tokens.runs):
        if tokens.special[index] and runs and all(run.origin.kind is OriginKind.MESSAGE for run in runs):
            message, field = runs[0].origin.message_index, runs[0].origin.field
            if message is not None and field != "role" and tokens.texts[index].strip():
                seen.setdefault(message, []).append(index)
    for message, indices in seen.items():
        role = example.conversation.role(message)
        first = indices[0]
        more = f" and {len(indices) - 1} more" if len(indices) > 1 else ""
        is_error = role == "assistant" and any(labelled.trained[i] and tokens.control[i] for i in indices)
        yield Finding(
            code=Code.CONTROL_TOKEN_IN_CONTENT,
            severity=Severity.ERROR if is_error else Severity.WARNING,
            message_index=message,
            token_span=(first, first + 1),
            detail=f"Text of message {message} ({role}) becomes a special token: {tokens.texts[first]!r} (id "
            f"{tokens.ids[first]}){more}. "
            + ("The model learns to write it in the middle of an answer." if is_error else "It can fake a turn."),
            remedy="Change the text, or tokenize message text without special tokens (sanitize_control_tokens).",
        )


def _spelled_controls(example: Example) -> Iterator[Finding]:
    """Control tokens in messages that are text here, and would be control tokens if the render were tokenized whole."""
    controls, tokens = control_tokens(example.tokenizer), example.tokens
    messages: set[int] = set()
    for start, end, run in example.rendered.spans():
        index = run.origin.message_index
        if run.origin.kind is not OriginKind.MESSAGE or index is None or index in messages:
            continue
        spelled = controls.search(example.rendered.text, start, end)
        if spelled is None:
            continue
        messages.add(index)
        here = [i for i, span in enumerate(tokens.char_spans) if span[0] < spelled.end() and spelled.start() < span[1]]
        library = example.encoder.library or example.encoder.title
        yield Finding(
            code=Code.CONTROL_TOKEN_IN_CONTENT,
            severity=Severity.WARNING,
            message_index=index,
            token_span=(here[0], here[-1] + 1),
            detail=f"Message {index} ({example.conversation.role(index)}) spells the control token {spelled[0]!r}. "
            f"{library} reads it as text, as it is shown: {[tokens.ids[i] for i in here]}. A trainer that tokenizes "
            f"the rendered text whole gets the control token: {ids_alone(example.tokenizer, spelled[0])}.",
            remedy="Change the text, or train with these ids: a run here does, and so do exported rows.",
        )


def find_official_differences(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """The vendor's own library gives the conversation other ids."""
    official, ids = example.official(), example.tokens.ids
    if official is None or list(official) == list(ids):
        return
    first, _, quoted = _compared(example, official)
    yield Finding(
        code=Code.OFFICIAL_ENCODER_DIFFERS,
        severity=Severity.WARNING,
        message_index=message_of(example, first),
        token_span=(first, first + 1),
        detail=f"{example.encoder.library} encodes this conversation in {len(official):,} tokens, the chat template "
        f"in {len(ids):,}. From token {first} on they differ: {quoted}.",
        remedy="Write the row so that both agree: at inference the official encoder is what the model is given.",
    )


def find_doubts(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """A warning of transformers about the tokenizer, and the tokens of this row that the other setting would change."""
    if example.alternative is None:
        return
    setting, other = example.alternative.setting, ids_alone(example.alternative.tokenizer, example.rendered.text)
    warns = f"transformers warns when it loads this tokenizer. With {setting}, "
    if other == list(example.tokens.ids):
        yield Finding(
            code=Code.TOKENIZER_IN_DOUBT,
            severity=Severity.NOTE,
            message_index=None,
            token_span=None,
            detail=f"{warns}no token of this row changes.",
            remedy="Ignore the warning for rows like this one.",
        )
        return
    first, count, quoted = _compared(example, other)
    yield Finding(
        code=Code.TOKENIZER_IN_DOUBT,
        severity=Severity.WARNING,
        message_index=None,
        token_span=(first, first + 1),
        detail=f"{warns}{count:,} of the {len(example.tokens):,} tokens of this row change: {quoted}.",
        remedy="Load the tokenizer as the model was trained with it: its page says which way that is.",
    )


def find_ids_without_embedding(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Ids outside the embedding: the tokenizer is another model's, or has tokens that the model was not resized for."""
    count, ids = example.embeddings, example.tokens.ids
    beyond = [] if count is None else [i for i, id in enumerate(ids) if id >= count]
    if beyond:
        first = beyond[0]
        yield Finding(
            code=Code.ID_WITHOUT_EMBEDDING,
            severity=Severity.ERROR,
            message_index=message_of(example, first),
            token_span=(first, first + 1),
            detail=f"Token {first} {example.tokens.texts[first]!r} has the id {ids[first]:,}; the embedding has "
            f"{count:,} rows (vocab_size in config.json). {len(beyond)} of the {len(ids):,} tokens have none.",
            remedy="Use the model's own tokenizer, or resize the embedding for the new tokens: a run here does.",
        )


def _compared(example: Example, others: Sequence[int]) -> tuple[int, int, str]:
    """(the first token at which the ids differ, the number of different tokens, the differences in words)."""
    ids = example.tokens.ids
    places = _differences(others, ids)
    different = list(
        dict.fromkeys(_difference(example, others[slice(*theirs)], ids[slice(*ours)]) for theirs, ours in places)
    )
    more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
    count = sum(max(end - start, 1) for _, (start, end) in places)
    return min(places[0][1][0], len(ids) - 1), count, "; ".join(different[:_SHOWN]) + more


def _difference(example: Example, theirs: Sequence[int], ours: Sequence[int]) -> str:
    there, here = text_of(example.tokenizer, theirs), text_of(example.tokenizer, ours)
    if there == here:
        return f"{there!r} in {len(theirs)} token{'s' * (len(theirs) > 1)} there and in {len(ours)} here"
    return f"{there!r} there and {here!r} here"


_SHOWN = 4
"""Maximum number of quoted differences between two encodings."""
_COMPARED = 4_000
"""Up to this many tokens every difference is found; in longer rows only the one stretch that is not shared."""


def _differences(theirs: Sequence[int], ours: Sequence[int]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The stretches in which two lists of ids differ, each as half-open ranges of the first and of the second."""
    if max(len(theirs), len(ours)) <= _COMPARED:
        steps = SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes()
        return [((a, b), (c, d)) for name, a, b, c, d in steps if name != "equal"]
    start = common_start(theirs, ours)
    end = common_start(theirs[start:][::-1], ours[start:][::-1])
    return [((start, len(theirs) - end), (start, len(ours) - end))]


def find_stop_mismatch(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Rows whose last answer does not end in the tokenizer's eos."""
    eos = example.tokenizer.eos_token_id
    last = next((i for i in reversed(example.conversation.assistant_indices()) if i in example.turns), None)
    stop = None if last is None else example.turns[last].stop_token
    if eos is None or stop is None or example.tokens.ids[stop] == eos:
        return
    yield Finding(
        code=Code.STOP_TOKEN_MISMATCH,
        severity=Severity.WARNING,
        message_index=last,
        token_span=(stop, stop + 1),
        detail=f"The template ends the answer in {example.tokens.texts[stop]!r} (id {example.tokens.ids[stop]}), the "
        f"tokenizer's eos is {example.tokenizer.eos_token!r} (id {eos}). Generation stops at the ids of "
        "generation_config, which is not read here, or at eos.",
        remedy="See that generation_config.json lists the template's stop token in eos_token_id.",
    )


def find_text_stops(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Trained answers that end in a marker which is text to the tokenizer."""
    texts: dict[str, list[int]] = {}
    for index, turn in example.answers():
        is_learned = any(labelled.trained[i] for i in turn.end_tokens)
        if turn.stop_token is None and turn.stop_span is not None and is_learned:
            texts.setdefault(example.rendered.text[slice(*turn.stop_span)], []).append(index)
    for text, messages in texts.items():
        ends = example.turns[messages[0]].end_tokens
        pieces = [example.tokens.texts[i] for i in ends]
        merged = next((piece for piece in (pieces[0], pieces[-1]) if piece.strip() not in text), "")
        swallowed = f", of which {merged!r} also holds what stands next to it" if merged else ""
        yield Finding(
            code=Code.STOP_IS_TEXT,
            severity=Severity.WARNING,
            message_index=messages[0],
            token_span=(ends[0], ends[-1] + 1),
            detail=f"The answer ends in {text!r}, which this tokenizer reads as {len(ends)} "
            f"token{'s' if len(ends) > 1 else ''} of text: {pieces}{swallowed}. The model learns to write that text, "
            "but generation goes on after it unless it is given as a stop string.",
            remedy=f"Add {text!r} as a special token (the embeddings grow with it), or generate with the stop string "
            f"{text!r}.",
        )


def find_pad_is_stop(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Padding shares its id with eos or with a stop token: a collator that masks by id erases real labels.

    If the tokenizer has no padding token, trainers use eos, some of them with such a collator.
    """
    pad_id = example.tokenizer.pad_token_id
    pad = example.tokenizer.eos_token_id if pad_id is None else pad_id
    stops = {example.tokens.ids[turn.stop_token] for turn in example.turns.values() if turn.stop_token is not None}
    if pad is None or pad not in stops | {example.tokenizer.eos_token_id}:
        return
    what = f"The padding token {example.tokenizer.pad_token!r} (id {pad}) is also eos or the stop token."
    if pad_id is None:
        what = f"The tokenizer has no padding token, and trainers take eos, {example.tokenizer.eos_token!r} (id {pad})."
    trained = sum(labelled.trained)
    erased = sum(bit and id == pad for bit, id in zip(labelled.trained, example.tokens.ids, strict=True))
    yield Finding(
        code=Code.PAD_IS_EOS,
        severity=Severity.WARNING if erased and pad_id is not None else Severity.NOTE,
        message_index=None,
        token_span=None,
        detail=f"{what} A collator that masks padding by its id leaves {trained - erased} of {trained} trained tokens: "
        f"it erases {erased} stop tokens.",
        remedy="Give the tokenizer a padding token of its own (an unused one, or a new one with the embeddings "
        "resized), or use a collator that masks by position.",
    )


def find_pad_zero(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """The padding id is 0."""
    if example.tokenizer.pad_token_id == 0:
        yield Finding(
            code=Code.PAD_ID_ZERO,
            severity=Severity.NOTE,
            message_index=None,
            token_span=None,
            detail=f"The padding token {example.tokenizer.pad_token!r} has the id 0. Code that asks `if pad_token_id` "
            "takes it for missing.",
            remedy="Nothing in this program depends on it; check collators of your own.",
        )


def find_double_bos(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """The rendered text begins with bos, and the tokenizer adds another one if special tokens are requested."""
    bos = example.tokenizer.bos_token_id
    if bos is None or example.tokens.ids[:1] != (bos,):
        return
    if example.conversation.labelled is not None:
        if example.tokens.ids[:2] == (bos, bos):
            yield Finding(
                code=Code.DOUBLE_BOS,
                severity=Severity.WARNING,
                message_index=None,
                token_span=(0, 2),
                detail=f"The row begins with two {example.tokenizer.bos_token!r}: the template wrote one, and the "
                "tokenizer added another.",
                remedy="Make the rows again, the rendered text tokenized with add_special_tokens=False.",
            )
        return
    start = example.rendered.text[: example.tokens.char_spans[0][1]]
    again = list(example.tokenizer(start, verbose=False)["input_ids"])
    if again[:2] == [bos, bos]:
        yield Finding(
            code=Code.DOUBLE_BOS,
            severity=Severity.NOTE,
            message_index=None,
            token_span=(0, 1),
            detail=f"The template writes {example.tokenizer.bos_token!r} and the tokenizer adds it, too: a trainer "
            "that is given the rendered text and tokenizes it with special tokens begins every row with two.",
            remedy="Give trainers messages or ids, or tokenize the text with add_special_tokens=False.",
        )


TOKENIZER_FINDERS: tuple[Callable[[Example, Labelled], Iterable[Finding]], ...] = (
    find_control_tokens,
    find_official_differences,
    find_doubts,
    find_ids_without_embedding,
    find_stop_mismatch,
    find_text_stops,
    find_pad_is_stop,
    find_pad_zero,
    find_double_bos,
)
"""Every finder of this file."""
