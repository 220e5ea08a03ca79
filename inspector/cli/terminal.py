"""Inspections as text for a terminal: readable without colour, clearer with it.

Trained text is in «guillemets» without colour, and underlined green with it; a token that merges text across a boundary
is in {braces}, or inverse. Line ends are shown as ⏎, other control characters by their code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

from inspector.exports.targets import Export
from inspector.findings.codes import Finding, Severity
from inspector.inspection import Inspection
from inspector.model.model import Model
from inspector.trainers.board import Parting, Standing
from inspector.trainers.compare import Comparison, Entry
from inspector.trainers.decode import Decoded, LoggedExample
from inspector.trainers.markers import Markers, Split, shown_ids
from inspector.trainers.verdict import verdict_on

_TRAINED, _STRADDLER, _DIM, _RESET = "\x1b[4;32m", "\x1b[7m", "\x1b[2m", "\x1b[0m"
_SEVERITY_COLOURS = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.NOTE: "\x1b[1;36m"}
_ROLE_WIDTH = 14


def format_inspection(inspection: Inspection, *, colour: bool) -> str:
    """The whole report: a heading, the strategy's warnings, the text turn by turn, the findings."""
    count, total = sum(inspection.trained), len(inspection.trained)
    share = f" ({count / total:.1%})" if total else ""
    lines = [
        f"{inspection.model.name} · {inspection.model.revision or inspection.model.source} · "
        f"template {inspection.model.template_name} · strategy {inspection.strategy}",
        f"{count} of {total} tokens are trained{share}" + ("" if colour else "; «trained», {merged across a boundary}"),
        *(f"{inspection.strategy} says: {warning}" for warning in inspection.labelled.warnings),
        "",
        *_turns(inspection, colour),
        "",
        *_findings(inspection, colour),
    ]
    return "\n".join(lines)


def _turns(inspection: Inspection, colour: bool) -> Iterator[str]:
    pieces, straddlers = inspection.example.brief_texts(), set(inspection.straddlers)
    for turn, group in groupby(range(len(inspection.ids)), key=inspection.example.tokens.turn):
        title = "template" if turn is None else f"{turn} {inspection.example.conversation.role(turn)}"
        text = _text(inspection, pieces, straddlers, list(group), colour)
        for number, line in enumerate(text.split("\n")):
            head = title[:_ROLE_WIDTH] if not number else ""
            yield f"{_paint(head.rjust(_ROLE_WIDTH), _DIM, colour)} │ {line}"


def _text(
    inspection: Inspection, pieces: Sequence[str], straddlers: Collection[int], indices: list[int], colour: bool
) -> str:
    """The tokens' text; a character encoded by several tokens is shown once."""
    trained, out = inspection.trained, []
    for is_trained, group in groupby(indices, key=lambda i: bool(trained[i])):
        opened, closed = ("", "") if colour or not is_trained else "«»"
        out.append(opened)
        for is_straddler, inner in groupby(group, key=lambda i: i in straddlers):
            text = _visible("".join(pieces[i] for i in inner))
            if colour:
                text = _paint(text, _TRAINED * is_trained + _STRADDLER * is_straddler, is_trained or is_straddler)
            out.append("{" + text + "}" if is_straddler and not colour else text)
        out.append(closed)
    return "".join(out).removesuffix("\n")


def _visible(text: str) -> str:
    """A text whose line ends and other control characters are visible."""
    return "".join("⏎\n" if c == "\n" else c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def _findings(inspection: Inspection, colour: bool) -> Iterator[str]:
    if not inspection.findings:
        yield "No findings."
        return
    for finding in inspection.findings:
        yield from _finding(finding, colour)


def _finding(finding: Finding, colour: bool) -> Iterator[str]:
    severity = _paint(finding.severity.value, _SEVERITY_COLOURS[finding.severity], colour)
    where = "" if finding.token_span is None else f" at token {finding.token_span[0]}"
    yield f"{severity} {finding.code}{where}: {finding.detail}"
    yield f"    → {finding.remedy}"


def format_comparison(comparison: Comparison) -> str:
    """One line per strategy: its trainer, how much it trains, what is wrong with that, and where it begins."""
    truth = comparison.truth
    tokens = truth.example.tokens
    name = max(len(_strategy(entry)) for entry in comparison.entries)
    trainer = max(len(entry.verdict.trainer) for entry in comparison.entries)
    lines = [
        f"{truth.model.name} · template {truth.model.template_name} · {len(tokens)} tokens, "
        f"{sum(truth.trained)} of them should be trained",
        verdict_on(truth).sentence,
        "",
        f"{'trainer':<{trainer}}  {'strategy':<{name}}  {'trains':>6}  verdict",
    ]
    for entry in comparison.by_verdict:
        count = "-" if entry.labelled is None else str(sum(entry.labelled.trained))
        first = entry.disagreements[0][0] if entry.disagreements else None
        where = "" if first is None else f"; first at token {first} {tokens.texts[first]!r}"
        lines.append(
            f"{entry.verdict.trainer:<{trainer}}  {_strategy(entry):<{name}}  {count:>6}  {entry.verdict.short}{where}"
        )
        lines += [f"{'':<{name}}  {warning}" for warning in (entry.labelled.warnings if entry.labelled else ())]
    return "\n".join(lines)


def _strategy(entry: Entry) -> str:
    shown = {"instruction": "+ instruction"}
    return " ".join([entry.strategy, *(text for option, text in shown.items() if option in entry.options)])


def format_board(standings: Sequence[Standing]) -> str:
    """A few lines per model.

    How many conversations it renders, how exactly, and what each trainer trains of one chat.
    """
    return "\n".join(line for standing in standings for line in _standing(standing))


def _standing(standing: Standing) -> Iterator[str]:
    if standing.problem:
        yield f"{standing.model}  {standing.problem}"
        return
    official = f"{standing.same_as_official} of {standing.official} as the official encoder writes them, "
    yield (
        f"{standing.model}  template {standing.template} · "
        f"{standing.rendered} of {standing.tried} conversations render, "
        f"{official if standing.official else ''}{standing.exact} exact · "
        f"generation tags {'proven' if standing.is_tagged else 'not proven'}"
    )
    width = max(map(len, standing.trainers), default=0)
    yield from (f"  {trainer:<{width}}  {short}" for trainer, short in standing.trainers.items())


def format_partings(partings: Sequence[Parting]) -> str:
    """One line for each conversation in which two models differ."""
    lines = [f"{one.conversation}: other {one.what}, {one.detail}" for one in partings]
    return "\n".join(lines) or "They write the same text, ids and masks."


def format_decoded(decoded: Decoded, *, colour: bool) -> str:
    """A log explained: its messages with the settings to change, its examples, and what went wrong."""
    lines: list[str] = []
    for answer in decoded.answers:
        lines += [f"{answer.trainer}: {answer.meaning}", *(f"    {cause}" for cause in answer.causes)]
        lines += [
            f"    {'use  ' if not number else '     '}{line}" for number, line in enumerate(answer.settings_lines)
        ]
        lines.append("")
    for number, example in enumerate(decoded.examples):
        lines += [*_logged(number, example, colour), ""]
    lines += [line for finding in decoded.findings for line in _finding(finding, colour)]
    lines += decoded.notes
    if not decoded.answers and all(example.labels is None for example in decoded.examples):
        lines += ["", *(f"{name:<22}{value}" for name, value in decoded.markers.lines())]
    return "\n".join(lines).rstrip("\n")


_LOGGED_CHARS = 2000
"""Longest piece of an example in characters; of a longer one only the beginning and the end are shown."""


def _without_middle(text: str) -> str:
    half = _LOGGED_CHARS // 2
    left_out = len(text) - 2 * half
    return text if left_out <= 0 else f"{text[:half]} … {left_out:,} characters … {text[-half:]}"


def _logged(number: int, example: LoggedExample, colour: bool) -> Iterator[str]:
    """An example of a log: its text, its trained parts if the log names them, and notes about it."""
    exact = "the ids are exactly those of this conversation" if example.is_exact else "not its exact ids"
    read = "" if example.inspection is None else f", read as {_roles(example.inspection)}: {exact}"
    alone = " that are trained, without the others" if example.is_partial else ""
    yield f"example {number}: {len(example.ids)} ids{alone}{read}"
    out = []
    for text, is_trained in example.pieces:
        shown = _visible(_without_middle(text))
        marked = f"«{shown}»" if is_trained and not colour else shown
        out.append(_paint(marked, _TRAINED, colour and is_trained))
    yield "".join(out).removesuffix("\n")
    yield from (f"    {sentence}" for sentence in example.says)


def _roles(inspection: Inspection) -> str:
    return ", ".join(str(message["role"]) for message in inspection.example.conversation.messages)


def format_markers(
    model: Model, markers: Markers, splits: tuple[Split, Split] | None, *, rows: int, refused: int
) -> str:
    """Marker ids, the answers they find, and the same texts tokenized out of context, as home-llm's find_split does."""
    lines = [
        f"{model.name} · template {model.template_name} · {markers.turns} answers in {rows} conversations"
        + (f" ({refused} refused by the template)" if refused else ""),
        "",
        *(f"{name:<22}{value}" for name, value in markers.lines()),
        "",
        markers.advice,
    ]
    for miss in markers.misses:
        lines.append(
            f"  missed {miss.count}: the boundary is inside {miss.token!r}, ids {shown_ids(miss.ids)} "
            f"(conversation {miss.row}, message {miss.message_index})"
        )
    for name, split in zip(("before", "after"), splits or (), strict=False):
        lines += [
            "",
            f"find_split: the text {name} a lone answer, {split.text!r}",
            *(f"  {how:<20}{shown_ids(ids)}" for how, ids in split.tokenizations()),
        ]
    return "\n".join(lines)


def format_pieces(words: Sequence[tuple[str, Sequence[tuple[int, str]]]]) -> str:
    """Texts with the tokens of each: a space belongs to the token after it."""
    lines = ["", "whitespace belongs to the next token"]
    for word, tokens in words:
        lines.append(f"  {word!r:<20}" + "  ".join(f"{id} {piece!r}" for id, piece in tokens))
    return "\n".join(lines)


def format_exports(exports: Sequence[Export]) -> str:
    """The snippets and the files they need, each under a title.

    A single one without a title, so that it can be piped.
    """
    texts = [(f"{export.target}/{name}", text) for export in exports for name, text in export.all_files.items()]
    if len(texts) == 1:
        return texts[0][1].rstrip("\n")
    return "\n".join(f"──── {title}\n{text}" for title, text in texts).rstrip("\n")


def _paint(text: str, style: str, colour: bool) -> str:
    """Style each line on its own, so that no style crosses a line end."""
    return "\n".join(f"{style}{line}{_RESET}" if line else "" for line in text.split("\n")) if colour else text
