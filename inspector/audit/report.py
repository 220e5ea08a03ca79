"""The result of an audit: counts that add up, in whatever order the rows come.

`AuditReport` is a sum: every field is added row by row, and two reports about different rows of one data set merge
into the report of both (associative and commutative). The size does not grow with the rows, except for 16 bytes a row
that find repeated answers.
"""

from __future__ import annotations

import base64
import re
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from inspector.data.source import BadRow
from inspector.errors import ReportError, quoted, short
from inspector.findings.codes import Code, Finding, KindBy, Severity
from inspector.inspection import Inspection
from inspector.notebook import block, folded, note, table
from inspector.rendering.origins import OriginKind
from inspector.strategies.base import ranges_of

VERSION = 1
KEPT_EXAMPLES = 5
RAW_CHARS = 200
"""Characters of an unusable row that the report shows."""
"""Rows that are shown for each code and each reason: the first ones."""
KEPT_CLUSTERS = 500
"""Maximum number of clusters counted separately for one code; later ones count as "other"."""
KEPT_TURNS = 32
"""Assistant turns counted separately by their index; later ones count with the last."""
LIMITS = tuple(1 << power for power in range(7, 18))
"""Values of max_length whose effect is counted: 128 to 131,072 tokens."""
NEAR_EMPTY_TOKENS, NEAR_EMPTY_SHARE = 3, 0.01
"""A row trains almost nothing if it trains fewer tokens than this, or a smaller share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One finding in a row, as the audit counts it. `cluster`: the kind within its code, such as the merged token."""

    code: Code
    severity: Severity
    cluster: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts:
    """The counts that one row adds to a report.

    `boilerplate`: trained tokens that hold no text of a message. `cut`: trained tokens that truncation removed.
    `turns`: (role, tokens, trained tokens) of each message that has a turn, in order. `spans`: the token spans that
    train before truncation, half open. `answer`: a 64-bit hash of the trained text, 0 for none.
    """

    tokens: int
    trained: int
    boilerplate: int
    cut: int
    turns: tuple[tuple[str, int, int], ...]
    spans: tuple[tuple[int, int], ...]
    answer: int
    found: tuple[Occurrence, ...]


def count(inspection: Inspection) -> RowCounts:
    """The counts that an inspected row adds to a report."""
    tokens, trained = inspection.example.tokens, inspection.labelled.trained
    trained_tokens = [i for i, bit in enumerate(trained) if bit]
    conversation = inspection.example.conversation
    return RowCounts(
        tokens=len(tokens),
        trained=len(trained_tokens),
        boilerplate=sum(
            all(run.origin.kind is not OriginKind.MESSAGE for run in tokens.runs[i]) for i in trained_tokens
        ),
        cut=len(inspection.labelled.cut),
        turns=tuple(
            (conversation.role(index), len(turn.tokens), sum(trained[i] for i in turn.tokens))
            for index, turn in inspection.example.turns.items()
        ),
        spans=tuple(ranges_of(sorted((*trained_tokens, *inspection.labelled.cut)))),
        answer=answer_hash("".join(piece for piece, bit in zip(tokens.pieces(), trained, strict=True) if bit)),
        found=tuple(
            Occurrence(code=f.code, severity=f.severity, cluster=cluster_of(inspection, f)) for f in inspection.findings
        ),
    )


def answer_hash(text: str) -> int:
    """A stable 64-bit hash of a text; 0 for none."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest()) if data else 0


def cluster_of(inspection: Inspection, finding: Finding) -> str:
    """The key that groups findings of one code: the token and the template line, or the detail without its numbers."""
    if finding.token_span is None or finding.code.kind_by is KindBy.WORDS:
        return short(re.sub(r"\d+", "N", finding.detail.split(":")[0]), 100)
    if finding.code.kind_by is KindBy.END:
        return finding.detail.rsplit("; ", 1)[-1].rstrip(".")
    tokens, index = inspection.example.tokens, finding.token_span[0]
    origins = (run.origin for run in tokens.runs[index])
    line = next((o.line for o in origins if o.kind is not OriginKind.MESSAGE and o.line is not None), None)
    return f"{short(tokens.texts[index], 40)!r}" + ("" if line is None else f", template line {line}")


@dataclass(slots=True, kw_only=True)
class Found:
    """Findings of one code: their number, the number of rows, the kinds, and the first rows."""

    count: int = 0
    rows: int = 0
    severities: Counter[str] = field(default_factory=Counter)
    clusters: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def add(self, occurrences: Iterable[Occurrence]) -> None:
        """The findings of this code in one row."""
        self.rows += 1
        for occurrence in occurrences:
            self.count += 1
            self.severities[occurrence.severity.value] += 1
            _add_cluster(self.clusters, occurrence.cluster, 1)

    def merge(self, other: Found) -> None:
        """Add the counts of another."""
        self.count += other.count
        self.rows += other.rows
        self.severities.update(other.severities)
        for cluster, number in other.clusters.items():
            _add_cluster(self.clusters, cluster, number)
        self.examples = _first(self.examples + other.examples)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "count": self.count,
            "rows": self.rows,
            "severities": dict(self.severities),
            "clusters": dict(sorted(self.clusters.items(), key=lambda item: (-item[1], item[0]))),
            "examples": self.examples,
        }


@dataclass(slots=True, kw_only=True, repr=False)
class AuditReport:
    """The sum over the rows seen so far.

    `about`: model, template, strategy and data, which all rows share. `roles`: role -> (turns, tokens, trained).
    `turns`: the same for the first, second, ... assistant turn. `lengths`: tokens -> rows. `limits`: max_length ->
    (rows over it, trained tokens lost and rows left with none when the start is kept, the same when the end is).
    `erroneous`: inspected rows with a finding that is an error. `unread`: column that is not read -> rows with a value
    in it. `labels`: `good` and `bad` -> rows with that label.
    """

    about: dict[str, Any] = field(default_factory=dict)
    inspected: int = 0
    bad: int = 0
    refused: int = 0
    erroneous: int = 0
    untrained: int = 0
    near_empty: int = 0
    tokens: int = 0
    trained: int = 0
    boilerplate: int = 0
    cut: int = 0
    roles: dict[str, list[int]] = field(default_factory=dict)
    turns: list[list[int]] = field(default_factory=list)
    lengths: Counter[int] = field(default_factory=Counter)
    limits: dict[int, list[int]] = field(default_factory=dict)
    findings: dict[str, Found] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    bad_rows: list[dict[str, Any]] = field(default_factory=list)
    near_empty_rows: list[int] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    answers: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def rows(self) -> int:
        """The number of rows read."""
        return self.inspected + self.bad + self.refused

    def add(self, number: int, counts: RowCounts) -> None:
        """Add a row that was inspected."""
        self.inspected += 1
        self.erroneous += any(occurrence.severity is Severity.ERROR for occurrence in counts.found)
        self.tokens += counts.tokens
        self.trained += counts.trained
        self.boilerplate += counts.boilerplate
        self.cut += counts.cut
        self.lengths[counts.tokens] += 1
        self.untrained += not counts.trained
        if counts.trained > 0 and (
            counts.trained < NEAR_EMPTY_TOKENS or counts.trained < NEAR_EMPTY_SHARE * counts.tokens
        ):
            self.near_empty += 1
            self.near_empty_rows = sorted([*self.near_empty_rows, number])[:KEPT_EXAMPLES]
        answers = 0
        for role, tokens, trained in counts.turns:
            _sum(self.roles.setdefault(role, [0, 0, 0]), (1, tokens, trained))
            if role == "assistant":
                at = min(answers, KEPT_TURNS - 1)
                self.turns += [[0, 0, 0] for _ in range(at + 1 - len(self.turns))]
                _sum(self.turns[at], (1, tokens, trained))
                answers += 1
        for limit in LIMITS:
            if limit >= counts.tokens:
                break
            _sum(self.limits.setdefault(limit, [0, 0, 0, 0, 0]), _lost(counts, limit))
        for code in dict.fromkeys(occurrence.code for occurrence in counts.found):
            found = self.findings.setdefault(code.value, Found())
            found.add(occurrence for occurrence in counts.found if occurrence.code is code)
        if counts.answer:
            self.answers.extend((counts.answer, number))

    def add_examples(self, number: int, place: str, findings: Iterable[Finding]) -> None:
        """Show a row for its findings while there is room: one finding for each code."""
        for finding in findings:
            found = self.findings.setdefault(finding.code.value, Found())
            if all(example["row"] != number for example in found.examples):
                found.examples = _first([*found.examples, {"row": number, "place": place, **finding.to_dict()}])

    def add_bad(self, row: BadRow) -> None:
        """Add a row that could not be read or is not a conversation."""
        self.bad += 1
        self._add_unused(row.number, row.place, row.why, row.raw)

    def add_refused(self, row: BadRow, finding: Finding | None) -> None:
        """Add a row that the template refuses. `finding`: the reason, if it could be shown."""
        self.refused += 1
        self._add_unused(row.number, row.place, row.why, "")  # it can be opened
        if finding is not None:
            occurrence = Occurrence(code=finding.code, severity=finding.severity, cluster=_without_numbers(row.why))
            self.findings.setdefault(finding.code.value, Found()).add([occurrence])
            self.add_examples(row.number, row.place, [finding])

    def _add_unused(self, number: int, place: str, why: str, raw: str) -> None:
        _add_cluster(self.reasons, _without_numbers(why), 1)
        self.bad_rows = _first(
            [*self.bad_rows, {"row": number, "place": place, "why": why, "raw": short(raw, RAW_CHARS)}], 20
        )

    def merge(self, other: AuditReport) -> None:
        """Add a report about other rows. Raises ReportError when it is about another model, template or strategy."""
        for name in ("model", "template_hash", "strategy", "options", "modifiers", "special_tokens"):
            if self.about and other.about and self.about.get(name) != other.about.get(name):
                raise ReportError(
                    f"The reports cannot be merged: their {name} differ, {quoted(self.about.get(name))} and "
                    f"{quoted(other.about.get(name))}."
                )
        self.about = self.about or dict(other.about)
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for role, numbers in other.roles.items():
            _sum(self.roles.setdefault(role, [0, 0, 0]), numbers)
        self.turns += [[0, 0, 0] for _ in range(len(other.turns) - len(self.turns))]
        for mine, numbers in zip(self.turns, other.turns, strict=False):
            _sum(mine, numbers)
        self.lengths.update(other.lengths)
        for limit, numbers in other.limits.items():
            _sum(self.limits.setdefault(limit, [0, 0, 0, 0, 0]), numbers)
        for code, found in other.findings.items():
            self.findings.setdefault(code, Found()).merge(found)
        for reason, number in other.reasons.items():
            _add_cluster(self.reasons, reason, number)
        self.bad_rows = _first(self.bad_rows + other.bad_rows, 20)
        self.near_empty_rows = sorted(self.near_empty_rows + other.near_empty_rows)[:KEPT_EXAMPLES]
        self.unread.update(other.unread)
        self.labels.update(other.labels)
        self.answers.extend(other.answers)

    def __repr__(self) -> str:
        """The report in one line."""
        from inspector.audit.text import figures

        return f"<AuditReport {figures(self)}>"

    def _repr_html_(self) -> str:
        """The report as a notebook shows it: its figures, and each finding with the first row that has it."""
        from inspector.audit.text import about_lines, figures, ranked_findings

        rows = []
        for shown in ranked_findings(self):
            first: dict[str, Any] = dict(shown.examples[0]) if shown.examples else {}
            detail = shown.detail or first.get("detail", "")
            rows.append(
                (shown.severity.value, Code(shown.code).heading, f"{shown.rows:,}", first.get("place", ""), detail)
            )
        rows += [("error", "The row cannot be used", "1", row["place"], row["why"]) for row in self.bad_rows]
        about = [note(f"{name}: {value}") for name, value in about_lines(self)]
        found = table(("", "Finding", "Rows", "First", "What"), rows) if rows else note("No findings.")
        return block(figures(self), found, folded("What was audited", *about))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, which `from_dict` reads back. Equal for equal rows, whatever their order."""
        pairs = sorted(zip(self.answers[0::2], self.answers[1::2], strict=True))
        packed = array("Q", [number for pair in pairs for number in pair]).tobytes()
        return {
            "version": VERSION,
            "about": self.about,
            **{name: getattr(self, name) for name in _SUMS},
            "roles": dict(sorted(self.roles.items())),
            "turns": self.turns,
            "lengths": {str(length): rows for length, rows in sorted(self.lengths.items())},
            "limits": {str(limit): numbers for limit, numbers in sorted(self.limits.items())},
            "findings": {
                code.value: self.findings[code.value].to_dict() for code in Code if code.value in self.findings
            },
            "reasons": dict(sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))),
            "bad_rows": self.bad_rows,
            "near_empty_rows": self.near_empty_rows,
            "unread": dict(sorted(self.unread.items())),
            "labels": dict(sorted(self.labels.items())),
            "answers": base64.b64encode(zlib.compress(packed)).decode(),
        }

    @classmethod
    def from_dict(cls, value: Any) -> AuditReport:
        """A report from its JSON form. Raises ReportError for anything else."""
        if not isinstance(value, dict) or value.get("version") != VERSION:
            raise ReportError(f"This is not an audit report of version {VERSION}: run the audit again.")
        try:
            answers = array("Q")
            answers.frombytes(zlib.decompress(base64.b64decode(value["answers"])))
            return cls(
                about=value["about"],
                **{name: int(value[name]) for name in _SUMS if name != "erroneous"},
                erroneous=int(value.get("erroneous", 0)),  # older reports did not count them
                roles={role: list(numbers) for role, numbers in value["roles"].items()},
                turns=[list(numbers) for numbers in value["turns"]],
                lengths=Counter({int(length): rows for length, rows in value["lengths"].items()}),
                limits={int(limit): list(numbers) for limit, numbers in value["limits"].items()},
                findings={code: _found(found) for code, found in value["findings"].items()},
                reasons=Counter(value["reasons"]),
                bad_rows=list(value["bad_rows"]),
                near_empty_rows=list(value["near_empty_rows"]),
                unread=Counter(value.get("unread", {})),  # older reports did not count these
                labels=Counter(value.get("labels", {})),
                answers=answers,
            )
        except (KeyError, TypeError, ValueError, AttributeError, zlib.error) as error:
            raise ReportError(
                f"The audit report is damaged ({type(error).__name__}: {error}): run it again."
            ) from error


_SUMS = (
    "inspected", "bad", "refused", "erroneous", "untrained", "near_empty", "tokens", "trained", "boilerplate", "cut",
)  # fmt: skip


def _found(value: Mapping[str, Any]) -> Found:
    return Found(
        count=value["count"],
        rows=value["rows"],
        severities=Counter(value["severities"]),
        clusters=Counter(value["clusters"]),
        examples=list(value["examples"]),
    )


def _lost(counts: RowCounts, limit: int) -> tuple[int, int, int, int, int]:
    """(1, trained tokens cut and 1 if all are, keeping the start; the same keeping the end)."""
    first = counts.tokens - limit + 1  # the first token that is left does not train
    after = before = all_of_them = 0
    for start, end in counts.spans:
        all_of_them += end - start
        if end > limit:
            after += end - max(start, limit)
        if start < first:
            before += min(end, first) - start
    return (1, after, int(0 < all_of_them == after), before, int(0 < all_of_them == before))


def _sum(into: list[int], numbers: Iterable[int]) -> None:
    into[:] = [a + b for a, b in zip(into, numbers, strict=True)]


def _add_cluster(clusters: Counter[str], cluster: str, number: int) -> None:
    clusters[cluster if cluster in clusters or len(clusters) < KEPT_CLUSTERS else "other"] += number


def _without_numbers(text: str) -> str:
    text = re.sub(r"\d+", "N", text)
    return short(text, 200)


def _first(examples: list[dict[str, Any]], kept: int = KEPT_EXAMPLES) -> list[dict[str, Any]]:
    return sorted(examples, key=lambda example: int(example["row"]))[:kept]
