"""What a trainer's own batches train, token by token, against what was meant.

Each sequence is matched to its conversation, by the row of the data set that it was made of where that holds one, else
by reading its text back; a mask is laid over it, and every token that differs is a Problem of a kind.

In: a trainer, a DataLoader, batches, or a data set with ids and labels. Out: a Report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import islice, pairwise
from typing import Any

from inspector.audit.run import Task
from inspector.conversation import IGNORED
from inspector.errors import CheckError, InspectorError
from inspector.findings.codes import Code, Finding
from inspector.inspection import Inspection, inspect, inspect_by, inspect_rendered
from inspector.live.batches import Batch, first_batches, is_loader, is_trainer, loader_of
from inspector.live.causes import Run
from inspector.live.doubt import doubtful_tokens
from inspector.live.problems import problems_of
from inspector.live.report import CheckedRow, Report
from inspector.live.rows import LiveRow, Oddity, listed, rows_of
from inspector.model.hub import load, model_of
from inspector.model.model import Model
from inspector.paths import shell_command
from inspector.samples import sample_conversations
from inspector.strategies import EXACT, Labelled, Modifiers, Rule, Truncation, behind_prompt, label
from inspector.strategies.full import full
from inspector.trainers.verdict import Level, Verdict, verdict_of

_COMMAND = shell_command("inspector")
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
    if not isinstance(batches, int) or batches < 1:
        raise CheckError(f"`batches` is {batches!r}, and must be a whole number, 1 at least.")
    _check_source(source)
    run = _run(source, trainer if trainer is not None else source if is_trainer(source) else None, tokenizer, template)
    rule = Rule(strategy=strategy, options=options)
    Task(model=run.model, rule=rule).check()
    found = _batches(source, batches)
    ids = run.model.tokenizer.pad_token_id, run.model.tokenizer.eos_token_id
    rows = [
        row
        for i, batch in enumerate(found)
        for row in rows_of(batch, None if batch.is_whole else i, *ids, is_scored=run.is_scored)
    ]
    if not rows:
        raise CheckError("The first batches hold no row: there is nothing to check.")
    known = _Known(run.model, rule, data)
    rows = [part for row in rows[:MAX_ROWS] for part in known.apart(row)] + rows[MAX_ROWS:]
    checked = [_checked(run, rule, known, row) for row in rows[:MAX_ROWS]]
    return Report(
        trainer=run.name,
        model=run.model,
        batches=sum(not batch.is_whole for batch in found),
        rows=tuple(checked),
        left_out=len(rows) - len(checked),
        problems=tuple(problems_of(run, checked)),
    )


def _run(source: Any, trainer: Any, tokenizer: Any, template: str | None) -> Run:
    """What is known of the run: its trainer, settings and model."""
    tokenizer = getattr(trainer, "processing_class", None) if tokenizer is None else tokenizer
    if tokenizer is None:
        raise CheckError(
            "There is no tokenizer to read the rows with"
            + (": the trainer has no processing_class. " if trainer is not None else ". ")
            + "Give check(..., tokenizer=...) the one that made them."
        )
    config = getattr(getattr(trainer, "model", None), "config", None)
    size = getattr(config, "vocab_size", None)
    own = getattr(trainer, "chat_template", None)  # SFTTrainer's, where it renders with another than the tokenizer's
    template = own if template is None and isinstance(own, str) else template
    if isinstance(tokenizer, Model):
        model = tokenizer if template is None else tokenizer.with_template(template)
    elif isinstance(tokenizer, str):
        model = load(tokenizer, template=template)
    else:
        model = model_of(tokenizer, template=template, embeddings=size if isinstance(size, int) else None)
    collator = getattr(trainer, "data_collator", None) or getattr(source, "collate_fn", None)
    name = type(trainer).__name__ if is_trainer(trainer) else "The trainer" if trainer is not None else "This data"
    settings = getattr(trainer, "args", None)
    return Run(
        name=name, model=model, settings=settings, collator=collator, is_scored=getattr(config, "num_labels", 2) == 1,
        is_completion=getattr(trainer, "completion_only_loss", _is_completion(settings)) is True,
    )  # fmt: skip


def _is_completion(settings: Any) -> bool:
    """Whether TRL's settings train completions alone, where rows have them; a trainer itself knows whether they do."""
    only = getattr(settings, "completion_only_loss", False)
    return only is True or (only is None and not getattr(settings, "assistant_only_loss", False))


def _check_source(source: Any) -> None:
    """Raise CheckError for what no batches can be read of."""
    is_listed = hasattr(source, "__iter__") and not isinstance(source, str | bytes | Mapping)
    if not (is_trainer(source) or is_loader(source) or hasattr(source, "base_dataloader") or is_listed):
        raise _no_source(source)


def _no_source(source: Any) -> CheckError:
    names = [str(name) for name in next(iter(source), ())] if _is_table(source) else []
    hint = ""
    if isinstance(source, str):
        hint = f" Files and data sets of the hub are for `{_COMMAND} audit`."
    elif isinstance(source, Mapping):
        hint = " Give one batch in a list: `check([batch])`."
    elif names:
        hint = f" Its rows have {', '.join(names)}: check the trainer that makes ids of them."
    return CheckError(
        "A check takes a trainer, a DataLoader, a list of batches, or a data set whose rows have `input_ids` and "
        f"`labels`; not {type(source).__name__}.{hint}"
    )


def _is_table(source: Any) -> bool:
    """Whether it is a data set with named columns, as those of Hugging Face."""
    return hasattr(source, "column_names") and iter(source) is not source


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
    raise _no_source(source)


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
        if row.part is not None or row.is_kept_apart:
            return [row]
        ends = self._ends(row.ids) or self._ends_before_bos(row.ids)
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
        later = [i for i in range(1, len(ids)) if ids[i] == bos and ids[i - 1] != bos]
        is_sign = bos is not None and ids[:1] == (bos,) and later and self._begins_with_bos
        return [*later, len(ids)] if is_sign else []

    @cached_property
    def _begins_with_bos(self) -> bool:
        """Whether the template writes one BOS token in a conversation, at its beginning."""
        bos = self._model.tokenizer.bos_token_id
        sampled = inspect_rendered(self._model, sample_conversations()[-3:])
        return bool(sampled) and all(one.ids[0] == bos and one.ids.count(bos) == 1 for one in sampled)


def _start(ids: Sequence[int]) -> tuple[int, ...]:
    return tuple(ids[:8])


def _checked(run: Run, rule: Rule, known: _Known, row: LiveRow) -> CheckedRow:
    """A row with its verdict."""
    if row.trained is None and not run.is_scored:
        return _not_judged(run, row, inspect(run.model, _labelled(row)).example, (), _NO_LABELS)
    inspection = known.of(row)
    is_read, cut = inspection is None, 0
    if inspection is not None:
        cut = len(inspection.ids) - len(row.ids)
        kept = Modifiers(max_length=len(row.ids), truncation=Truncation.KEEP_START) if cut else Modifiers()
        truth = kept.apply(inspection.example, inspection.labelled)
        findings: tuple[Finding, ...] = inspection.findings
    else:
        inspection = inspect(run.model, _labelled(row))
        findings = tuple(one for one in inspection.findings if one.code not in _OF_MESSAGES)
        if inspection.example.unread and not _needs_no_turns(rule):
            return _not_judged(run, row, inspection.example, findings, _UNREAD + inspection.example.unread)
        truth = label(inspection.example, rule.strategy, rule.options)
    example = inspection.example
    bits = None if row.trained is None else [*row.trained, *[False] * cut]
    if (row.is_completion or run.is_completion) and bits is not None:
        truth = _completion_alone(example, truth, bits)
    doubtful = 0
    if is_read and bits is not None and any(bits) and not example.unread:
        doubtful = _leave_out(doubtful_tokens(example, bits), bits, truth)
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


_OF_MESSAGES = {Code.CONTENT_LOST, Code.CONTROL_TOKEN_IN_CONTENT}
"""Findings that compare messages with the template's text: messages that are read off that text show none of them."""
_UNREAD = "whose text is trained is unknown: "
_NO_LABELS = "the batch has no labels: which tokens are trained is unknown"


def _needs_no_turns(rule: Rule) -> bool:
    """Whether it means every token, whoever wrote it."""
    return rule.strategy == full.__name__


def _not_judged(run: Run, row: LiveRow, example: Any, findings: tuple[Finding, ...], why: str) -> CheckedRow:
    verdict = Verdict(
        level=Level.UNKNOWN, trainer=run.name, setting="", sentence=f"{run.name}: {why}", short=why
    )  # fmt: skip
    return CheckedRow(row=row, example=example, findings=findings, verdict=verdict)


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
