"""What a trainer's own batches train, token by token, against what was meant.

Each sequence is matched to its conversation, by the row of the data set that it was made of where that holds one, else
by reading its text back; a mask is laid over it, and every token that differs is a Problem of a kind.

In: a trainer, a DataLoader, batches, or a data set with ids and labels. Out: a Report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise
from typing import Any

from inspector.conversation import IGNORED
from inspector.errors import CheckError, InspectorError
from inspector.findings.codes import Code, Finding, Severity
from inspector.inspection import Inspection, inspect, inspect_by, inspect_rendered
from inspector.live.batches import Batch, first_batches, is_loader, is_trainer, loader_of
from inspector.live.causes import Run, cause_of
from inspector.live.doubt import doubtful_tokens
from inspector.live.report import CheckedRow, Problem, Report
from inspector.live.rows import LiveRow, Oddity, listed, rows_of
from inspector.model.hub import load, model_of
from inspector.model.model import Model
from inspector.samples import sample_conversations
from inspector.strategies import EXACT, Labelled, Modifiers, Rule, Truncation, behind_prompt, label
from inspector.trainers.verdict import Kind, Level, Part, Verdict, verdict_of

MAX_ROWS = 1_000
"""Most rows that are checked, however large the batches are."""


def check(
    source: Any,
    *,
    tokenizer: Any = None,
    batches: int = 4,
    data: Iterable[Any] | None = None,
    strategy: str = EXACT,
    template: str | None = None,
    trainer: Any = None,
    **options: Any,
) -> Report:
    """Check what the first batches train. Nothing of the run is used up, no sampler moves, no random state changes.

    `source`: a Trainer of transformers or TRL; a DataLoader; a list of batches; or a data set whose rows have
    `input_ids` and `labels`. `tokenizer`: a tokenizer, a processor, a model's name or a Model; a trainer brings its
    own. `batches`: how many. `data`: the conversations that the rows were made of, where the trainer no longer has
    them. `strategy`, `options`: what is meant to be trained, as for `inspect`; every word of the assistant, unless said
    otherwise. `template`: as for `load`, where the rows were rendered with another one than the tokenizer's. `trainer`:
    whose loader the source is.

    Raises CheckError where nothing can be said, and ModelError, StrategyError.
    """
    if batches < 1:
        raise CheckError(f"`batches` is {batches}, and must be 1 at least.")
    run = _run(source, trainer if trainer is not None else source if is_trainer(source) else None, tokenizer, template)
    found = _batches(source, batches)
    ids = run.model.tokenizer.pad_token_id, run.model.tokenizer.eos_token_id
    rows = [row for i, batch in enumerate(found) for row in rows_of(batch, None if batch.is_whole else i, *ids)]
    if not rows:
        raise CheckError("The first batches hold no row: there is nothing to check.")
    rule = Rule(strategy=strategy, options=options)
    known = _Known(run.model, rule, data)
    rows = [part for row in rows[:MAX_ROWS] for part in known.apart(row)] + rows[MAX_ROWS:]
    checked = [_checked(run, rule, known, row) for row in rows[:MAX_ROWS]]
    return Report(
        trainer=run.name,
        model=run.model,
        batches=sum(not batch.is_whole for batch in found),
        rows=tuple(checked),
        left_out=len(rows) - len(checked),
        problems=tuple(_problems(run, checked)),
    )


def _run(source: Any, trainer: Any, tokenizer: Any, template: str | None) -> Run:
    """What is known of the run: its trainer, settings and model."""
    tokenizer = getattr(trainer, "processing_class", None) if tokenizer is None else tokenizer
    if tokenizer is None:
        raise CheckError(
            "There is no tokenizer to read the rows with: "
            + ("the trainer has no processing_class. " if trainer is not None else "")
            + "Give check(..., tokenizer=...) the one that made them."
        )
    size = getattr(getattr(getattr(trainer, "model", None), "config", None), "vocab_size", None)
    if isinstance(tokenizer, Model):
        model = tokenizer if template is None else tokenizer.with_template(template)
    elif isinstance(tokenizer, str):
        model = load(tokenizer, template=template)
    else:
        model = model_of(tokenizer, template=template, embeddings=size if isinstance(size, int) else None)
    collator = getattr(trainer, "data_collator", None) or getattr(source, "collate_fn", None)
    name = type(trainer).__name__ if is_trainer(trainer) else "The trainer" if trainer is not None else "This data"
    return Run(name=name, model=model, settings=getattr(trainer, "args", None), collator=collator)


def _batches(source: Any, count: int) -> list[Batch]:
    if is_trainer(source):
        return first_batches(loader_of(source), count)
    if is_loader(source) or hasattr(source, "base_dataloader"):
        return first_batches(source, count)
    if isinstance(source, list | tuple) and source and not _is_row(source[0]):
        return first_batches(source, count)
    if hasattr(source, "__iter__") and iter(source) is not source and not isinstance(source, str | Mapping):
        rows = list(islice(source, MAX_ROWS))
        if rows and all(map(_is_row, rows)):
            names = [name for name in ("input_ids", "labels", "attention_mask") if all(name in row for row in rows)]
            return [Batch({name: [listed(row[name]) for row in rows] for name in names}, tuple(rows), is_whole=True)]
    raise CheckError(
        f"A check takes a trainer, a DataLoader, a list of batches, or a data set whose rows have `input_ids` and "
        f"`labels`; not {type(source).__name__}."
    )


def _is_row(row: Any) -> bool:
    """Whether it is a row of a data set with ids and labels of its own."""
    if not isinstance(row, Mapping) or not {"input_ids", "labels"} <= set(row):
        return False
    return isinstance(next(iter(listed(row["input_ids"])), None), int)


# --- which conversation a row is of


class _Known:
    """The conversations that rows were made of, found by how their ids begin."""

    def __init__(self, model: Model, rule: Rule, data: Iterable[Any] | None) -> None:
        self._model, self._rule = model, rule
        self._by_start: dict[tuple[int, ...], list[Inspection]] = {}
        for source in islice(data or (), MAX_ROWS):
            inspection = inspect_by(rule, model, source)
            self._by_start.setdefault(_start(inspection.ids), []).append(inspection)

    def of(self, row: LiveRow) -> Inspection | None:
        """The inspection of the conversation whose ids the row has, or begins with; None where it is not known."""
        candidates = list(self._by_start.get(_start(row.ids), []))
        if isinstance(row.source, Mapping) and "input_ids" not in row.source and not row.side:
            with suppress(InspectorError):  # its columns mean something else: the text is read back
                candidates.append(inspect_by(self._rule, self._model, dict(row.source)))
        return next((one for one in candidates if one.ids[: len(row.ids)] == list(row.ids)), None)

    def apart(self, row: LiveRow) -> list[LiveRow]:
        """The row, or its sequences where it is seen to hold several: known conversations, or more than one BOS token.

        Nothing in the batch says where they begin, so each attends to those before it.
        """
        ends = (
            [] if row.part is not None or row.is_kept_apart else self._ends(row.ids) or self._ends_before_bos(row.ids)
        )
        if len(ends) < 2:
            return [row]
        bounds = list(pairwise([0, *ends]))
        return [
            replace(
                row, ids=row.ids[start:end], trained=row.trained and row.trained[start:end], part=number, source=None,
                oddities=(*row.oddities, Oddity.LEAK) if number == 0 else (),
            )
            for number, (start, end) in enumerate(bounds)
        ]  # fmt: skip

    def _ends(self, ids: tuple[int, ...]) -> list[int]:
        """Where known conversations end that the ids are one after the other; the last may be cut."""
        ends = [0]
        while ends[-1] < len(ids):
            rest = list(ids[ends[-1] :])
            lengths = [len(one.ids) for one in self._by_start.get(_start(rest), []) if one.ids == rest[: len(one.ids)]]
            if not lengths:
                is_cut = any(one.ids[: len(rest)] == rest for same in self._by_start.values() for one in same)
                return [*ends[1:], len(ids)] if is_cut else []
            ends.append(ends[-1] + max(lengths))
        return ends[1:]

    def _ends_before_bos(self, ids: tuple[int, ...]) -> list[int]:
        """Where sequences end by the BOS tokens after them, with a template that writes one in a conversation."""
        bos = self._model.tokenizer.bos_token_id
        if bos is None or ids[:1] != (bos,) or not _begins_with_bos(self._model):
            return []
        later = [i for i in range(1, len(ids)) if ids[i] == bos and ids[i - 1] != bos]
        return [*later, len(ids)] if later else []


def _start(ids: Sequence[int]) -> tuple[int, ...]:
    return tuple(ids[:8])


def _begins_with_bos(model: Model) -> bool:
    """Whether the template writes one BOS token in a conversation, at its beginning."""
    bos = model.tokenizer.bos_token_id
    sampled = inspect_rendered(model, sample_conversations()[-3:])
    return bool(sampled) and all(one.ids[0] == bos and one.ids.count(bos) == 1 for one in sampled)


def _checked(run: Run, rule: Rule, known: _Known, row: LiveRow) -> CheckedRow:
    """A row with its verdict."""
    inspection = known.of(row)
    is_read, cut = inspection is None, 0
    if inspection is not None:
        cut = len(inspection.ids) - len(row.ids)
        kept = Modifiers(max_length=len(row.ids), truncation=Truncation.KEEP_START) if cut else Modifiers()
        truth = kept.apply(inspection.example, inspection.labelled)
        findings: tuple[Finding, ...] = inspection.findings
    else:
        inspection = inspect(run.model, _labelled(row))
        findings = inspection.findings
        if inspection.example.unread:
            return CheckedRow(row=row, example=inspection.example, findings=findings, verdict=_unknown(run, inspection))
        truth = label(inspection.example, rule.strategy, rule.options)
    example = inspection.example
    bits = None if row.trained is None else [*row.trained, *[False] * cut]
    if row.is_completion and bits is not None:
        truth = _completion_alone(example, truth, bits)
    doubtful = 0
    if is_read and bits is not None and any(bits):
        doubtful = _leave_out(doubtful_tokens(example), bits, truth)
    if bits is None:
        verdict = Verdict(
            level=Level.RIGHT, trainer=run.name, setting="", sentence=f"{run.name}: no token has a loss of its own",
            short="no token has a loss of its own",
        )  # fmt: skip
    else:
        bits[0] = False  # nothing comes before it: no loss is taken there
        verdict = verdict_of(example, (run.name, ""), bits, truth)
    return CheckedRow(
        row=row, example=example, findings=findings, verdict=verdict, truth=truth, cut=cut or _ends_early(example),
        doubtful=doubtful,
    )  # fmt: skip


def _leave_out(doubtful: set[int], bits: list[bool], truth: Labelled) -> int:
    """Judge no token that may be another's than it seems; how many of them differ."""
    differing = [i for i in doubtful if bits[i] != truth.trained[i]]
    for i in differing:
        bits[i] = truth.trained[i]
    return len(differing)


def _labelled(row: LiveRow) -> dict[str, list[int]]:
    trained = row.trained or [True] * len(row.ids)
    pairs = zip(row.ids, trained, strict=True)
    return {"input_ids": list(row.ids), "labels": [id if bit else IGNORED for id, bit in pairs]}


def _unknown(run: Run, inspection: Inspection) -> Verdict:
    says = f"whose text is trained is unknown: {inspection.example.unread}"
    return Verdict(level=Level.UNKNOWN, trainer=run.name, setting="", sentence=f"{run.name}: {says}", short=says)


def _completion_alone(example: Any, truth: Labelled, bits: Sequence[bool]) -> Labelled:
    """What is meant of a prompt and its answer: the messages from the first that is trained on, the last at least."""
    first = next((i for i, bit in enumerate(bits) if bit), len(bits))
    answers = [(index, turn) for index, turn in example.answers() if turn.tokens]
    after = [index for index, turn in answers if turn.tokens[-1] >= first]
    start = after[0] if after else answers[-1][0] if answers else 0
    return behind_prompt(example, truth, start)


def _ends_early(example: Any) -> int:
    """1 where a row read back ends inside its last answer, before the stop; else 0."""
    answers = list(example.answers())
    if not answers:
        return 0
    index, turn = answers[-1]
    is_last = index == len(example.conversation.messages) - 1
    return int(is_last and turn.stop_token is None and turn.stop_span is None)


# --- problems


_TOLD = {
    Code.FOREIGN_TEXT_IN_LOSS, Code.STOP_TOKEN_NOT_TRAINED, Code.PROMPT_TEXT_IN_LOSS, Code.NO_TRAINED_TOKENS,
    Code.ONLY_STOP_TRAINED, Code.LABELS_DIFFER, Code.TRUNCATED_RESPONSE, Code.TRUNCATED_AWAY, Code.TURNS_NOT_READ,
}  # fmt: skip
"""Findings about a mask: the verdict says the same of this one."""
_HARMLESS = {Kind.AFTER_STOP, Kind.NEWLINE}
"""What may be trained beside what is meant: at inference the model is stopped before it."""


def _problems(run: Run, rows: Sequence[CheckedRow]) -> Iterator[Problem]:
    """What is wrong, the worst first; each kind once, with how often and where first."""
    found = [problem for row in rows for problem in _of_row(row)]
    kinds: dict[str, list[Problem]] = {}
    for problem in found:
        kinds.setdefault(problem.kind, []).append(problem)
    merged = [_merged(same) for same in kinds.values()]
    if all(row.row.trained is not None and not any(row.row.trained[1:]) for row in rows):
        merged = [replace(one, level=Level.WRONG) if one.kind == "untrained" else one for one in merged]
    order = [Level.WRONG, Level.WARNING, Level.UNKNOWN]
    for problem in sorted(merged, key=lambda one: (order.index(one.level), -one.rows)):
        yield cause_of(run, rows, problem)


def _merged(same: Sequence[Problem]) -> Problem:
    return replace(same[0], rows=len({id(one.row) for one in same}), tokens=sum(one.tokens for one in same))


def _of_row(row: CheckedRow) -> Iterator[Problem]:
    problem = partial(Problem, row=row)
    for oddity in row.row.oddities:
        title, does = _ODDITIES[oddity]
        yield problem(kind=oddity.value, level=Level.WRONG, title=title, does=does)
    for part in row.verdict.extra:
        level, what = Level.WARNING if part.kind in _HARMLESS else Level.WRONG, part.kind.many
        title, does = f"trained, and should not be: {what}", f"trains {what}"
        yield problem(kind=f"extra:{part.kind}", level=level, title=title, does=does, **_tokens(part))
    for part in row.verdict.missing:
        title, does = f"not trained, and should be: {part.kind.many}", f"does not train {part.kind.many}"
        yield problem(kind=f"missing:{part.kind}", level=Level.WRONG, title=title, does=does, **_tokens(part))
    if row.row.trained is not None and not any(row.row.trained[1:]) and not row.verdict.missing:
        yield problem(
            kind="untrained", level=Level.WARNING, title="no token of the row is trained",
            does="trains nothing of some rows",
        )  # fmt: skip
    if row.cut:
        yield problem(
            kind="cut", level=Level.WARNING, title="an answer is cut off, and its end is never trained",
            does="cuts answers off",
        )  # fmt: skip
    if row.verdict.level is Level.UNKNOWN:
        title = "whose text is trained is unknown"
        yield problem(kind="unknown", level=Level.UNKNOWN, title=title, does="trains text of unknown roles")
    if row.doubtful:
        yield problem(
            kind="doubtful", level=Level.UNKNOWN, title="tokens that may be reasoning, calls or results",
            does="trains text of unknown parts", tokens=row.doubtful, cause=_DOUBT, remedy=_GIVE_DATA,
        )  # fmt: skip
    for finding in row.findings:
        if finding.severity is not Severity.NOTE and finding.code not in _TOLD:
            level = Level.WRONG if finding.severity is Severity.ERROR else Level.WARNING
            yield problem(
                kind=finding.code.value, level=level, title=finding.code.heading, cause=finding.detail,
                remedy=finding.remedy, span=finding.token_span, does=f"trains rows with: {finding.code.value}",
            )  # fmt: skip


_DOUBT = (
    "From the ids alone it is unknown whether these words are a message's own or the template's around a part of it."
)
_GIVE_DATA = "Give check(..., data=...) the conversations that the rows were made of."


_ODDITIES: Mapping[Oddity, tuple[str, str]] = {
    Oddity.PADDING: ("padding is trained", "trains padding"),
    Oddity.SHIFTED: (
        "labels are moved by one token, and the model moves them once more", "trains each token on the one after next",
    ),
    Oddity.LEAK: (
        "several sequences share a row, and each attends to those before it", "mixes sequences that share a row",
    ),
    Oddity.MASKED: (
        "positions begin anew within a row, and its attention mask makes the model ignore that",
        "mixes sequences that share a row",
    ),
    Oddity.HIDDEN: ("tokens of the text are hidden by the attention mask", "hides tokens from attention"),
}  # fmt: skip
"""What is wrong, and the same as a verb phrase."""


def _tokens(part: Part) -> dict[str, Any]:
    first = part.tokens[0]
    end = next((i for i, token in enumerate(part.tokens) if token != first + i), len(part.tokens))
    return {"tokens": len(part.tokens), "span": (first, first + end)}
