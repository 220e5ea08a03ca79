"""The commands of `python -m inspector`: parsed options in, text on standard output, exit status out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import inspector
from inspector.cli.input_files import (
    read_conversation,
    read_conversations,
    read_row,
    read_template,
    refuse_existing,
    rule_of,
    write_new_texts,
)
from inspector.conversation import Conversation
from inspector.errors import InspectorError, ModelError, RenderError, SetupError
from inspector.files.text_files import read_text, write_text
from inspector.inspection import inspect_by, template_names
from inspector.model.model import Model


def run_inspect(options: argparse.Namespace) -> int:
    """Print one conversation's tokens. Raises InspectorError; a refusal carries its finding as a note."""
    from inspector.cli.terminal import format_inspection

    model = _load(options).with_special_tokens(options.special_tokens)
    name, given, reads = options.conversation, options.as_given, template_names(model)
    if options.labels or options.row is not None or options.map:
        conversation = read_row(name, options.row or 0, dict(options.map), given, reads, labels=options.labels)
    else:
        conversation = read_conversation(name, given, reads)
    inspection = _inspected(options, model, conversation)
    if options.json:
        _print_json(inspection.to_dict())
    else:
        print(format_inspection(inspection, colour=_wants_colour(options.color)))
    return 0


def run_gallery(options: argparse.Namespace) -> int:
    """Print the examples' names, or one example as `inspect` shows it. Raises InspectorError."""
    from inspector.cli.terminal import format_inspection
    from inspector.gallery import find_entry, gallery

    if options.name is None:
        entries = gallery()
        width = max(len(entry.name) for entry in entries)
        if options.json:
            _print_json([{"name": e.name, "section": e.section, "title": e.title, "about": e.about} for e in entries])
        else:
            print("\n".join(f"{entry.name:{width}}  {entry.title}" for entry in entries))
        return 0
    entry = find_entry(options.name)
    if not options.json:
        print(f"{entry.title}\n{entry.about}\n")
    with _explained(entry.setup.load(), Conversation.parse(entry.setup.conversation)):
        inspection = entry.setup.inspect()
    if options.json:
        _print_json({"about": entry.about, "setup": entry.setup.to_dict()} | inspection.to_dict())
    else:
        print(format_inspection(inspection, colour=_wants_colour(options.color)))
    return 0


def run_compare(options: argparse.Namespace) -> int:
    """Print what each strategy would train, next to the correct mask. Raises InspectorError."""
    from inspector.cli.terminal import format_comparison
    from inspector.trainers.compare import compare

    model = _load(options)
    comparison = compare(model, read_conversation(options.conversation, reads=template_names(model)))
    if options.json:
        _print_json(comparison.to_dict())
    else:
        print(format_comparison(comparison))
    return 0


def run_board(options: argparse.Namespace) -> int:
    """Print one line per model, or where two differ; 1 if one is unusable or they differ. Raises InspectorError."""
    from inspector.cli.terminal import format_board, format_partings
    from inspector.trainers.board import partings, standing_of, unusable

    def load(name: str) -> Model:
        name, _, revision = name.partition("@")
        return inspector.load(name, revision=revision or None)

    if options.diff:
        if len(options.models) != 2:
            raise SetupError(f"--diff compares two models: give two, not {len(options.models)}.")
        found = list(partings(*map(load, options.models)))
        if options.json:
            _print_json([one.to_dict() for one in found])
        else:
            print(format_partings(found))
        return 1 if found else 0
    standings = []
    for name in options.models:
        try:
            standings.append(standing_of(load(name)))
        except ModelError as error:
            standings.append(unusable(name, error))
    if options.json:
        _print_json([standing.to_dict() for standing in standings])
    else:
        print(format_board(standings))
    return 1 if any(standing.problem for standing in standings) else 0


def run_markers(options: argparse.Namespace) -> int:
    """Print marker ids verified over rows, and how home-llm's find_split sees them. Raises InspectorError."""
    from inspector.cli.terminal import format_markers, format_pieces
    from inspector.inspection import inspect_rendered
    from inspector.samples import sample_conversations
    from inspector.trainers.markers import WORDS, find_split, pieces, propose_markers

    model = _load(options)
    rows = sample_conversations() if options.data is None else read_conversations(options.data, template_names(model))
    inspections = inspect_rendered(model, rows)
    refused = len(rows) - len(inspections)
    markers = propose_markers(inspections)
    if options.json:
        _print_json(markers.to_dict() | {"rows": len(rows), "refused": refused})
        return 0
    try:
        splits = find_split(model)
    except RenderError:
        splits = None
    print(format_markers(model, markers, splits, rows=len(rows), refused=refused))
    print(format_pieces([(word, pieces(model, word)) for word in WORDS]))
    return 0


def run_decode(options: argparse.Namespace) -> int:
    """Explain a trainer's log. Raises InspectorError."""
    from inspector.cli.terminal import format_decoded
    from inspector.trainers.decode import decode_log

    log = read_text(options.log)
    decoded = decode_log(_load(options), log)
    if options.json:
        _print_json(decoded.to_dict())
    else:
        print(format_decoded(decoded, colour=_wants_colour("auto")))
    return 0


def run_template(options: argparse.Namespace) -> int:
    """Write the model's template with generation tags; status 1 if none can be proven. Raises InspectorError."""
    from inspector.tagging.trl_status import trl_status
    from inspector.tagging.write import write_training_template

    model = _load(options)
    written = write_training_template(model)
    if written.template is not None and options.out is not None:
        write_text(options.out, written.template)
    if options.json:
        _print_json(written.to_dict())
        return 0 if written.proven else 1
    print(trl_status(model).reason)
    print(f"{'Proven' if written.proven else 'Not proven'}: {written.reason}")
    if written.diff:
        print(f"\n{written.diff}")
    return 0 if written.proven else 1


def run_export(options: argparse.Namespace) -> int:
    """Print or write settings for trainers, and write labelled rows; only the rows if only they are requested.

    Raises InspectorError. No existing file is overwritten.
    """
    from inspector.exports.targets import write_rows

    if options.rows is not None:
        refuse_existing(Path(options.rows))
    model = _load(options).with_special_tokens(options.special_tokens)
    conversations = read_conversations(options.conversation, template_names(model))
    if options.rows is None or options.to or options.out or options.json:
        _show_exports(options, _inspected(options, model, conversations[0]))
        if len(conversations) > 1:
            print(f"What they train is said of the first of {len(conversations)} conversations.", file=sys.stderr)
    if options.rows is not None:
        count = write_rows(_all_inspected(options, model, conversations), options.rows)
        print(f"{count} rows in {options.rows}", file=sys.stderr)
    return 0


def _show_exports(options: argparse.Namespace, inspection: inspector.Inspection) -> None:
    """Print settings, or write them: those of one trainer into the folder itself, of several into a folder each."""
    from inspector.cli.terminal import format_exports
    from inspector.exports.targets import export, export_all

    data = options.conversation if options.conversation.endswith(".jsonl") else "data.jsonl"
    exports = [export(inspection, options.to, data=data)] if options.to else export_all(inspection, data=data)
    if options.out is not None:
        folders = [Path(options.out, "" if options.to else one.target) for one in exports]
        files = zip(folders, (one.all_files for one in exports), strict=True)
        texts = {folder / name: text for folder, texts_of_folder in files for name, text in texts_of_folder.items()}
        write_new_texts(texts)
    if options.json:
        _print_json([one.to_dict() for one in exports])
    elif options.out is not None:
        print("\n".join(map(str, texts)))
    else:
        print(format_exports(exports))


def _inspected(options: argparse.Namespace, model: Model, conversation: Conversation) -> inspector.Inspection:
    with _explained(model, conversation):
        return inspect_by(rule_of(options), model, conversation)


def _all_inspected(
    options: argparse.Namespace, model: Model, conversations: Sequence[Conversation]
) -> Iterator[inspector.Inspection]:
    """Inspect the conversations in order; an error has a note with the number of its conversation."""
    for number, conversation in enumerate(conversations):
        try:
            yield _inspected(options, model, conversation)
        except InspectorError as error:
            error.add_note(f"This is about conversation {number}; no row was written.")
            raise


@contextmanager
def _explained(model: Model, conversation: Conversation) -> Iterator[None]:
    """Add the finding that explains a template's refusal to the error, as a note."""
    try:
        yield
    except InspectorError as error:
        if finding := inspector.diagnose(model, conversation, error):
            error.add_note(f"{finding.code}: {finding.detail}\n    → {finding.remedy}")
        raise


def _load(options: argparse.Namespace) -> Model:
    template = None if options.template is None else read_template(options.template)
    return inspector.load(options.model, revision=options.revision, template=template)


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def _wants_colour(choice: str) -> bool:
    if choice != "auto":
        return choice == "always"
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
