"""What each command of `python -m inspector` does: parsed options in, text on standard output, exit status out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

import inspector
from inspector.errors import InspectorError, RenderError
from inspector.files import read_conversation, read_conversations, read_template, read_text, write_text
from inspector.model import Model


def run_inspect(options: argparse.Namespace) -> int:
    """Print one conversation's tokens. Raises InspectorError; a refusal carries its finding as a note."""
    from inspector.terminal import format_inspection

    conversation = read_conversation(options.conversation)
    model = _load(options)
    try:
        inspection = inspector.inspect(model, conversation, options.strategy, **dict(options.option))
    except InspectorError as error:
        if finding := inspector.diagnose(model, conversation, error):
            error.add_note(f"{finding.code}: {finding.detail}\n    → {finding.remedy}")
        raise
    if options.json:
        _print_json(inspection.to_dict())
    else:
        print(format_inspection(inspection, colour=_wants_colour(options.color)))
    return 0


def run_compare(options: argparse.Namespace) -> int:
    """Print what each strategy would train, beside the truth. Raises InspectorError."""
    from inspector.compare import compare
    from inspector.terminal import format_comparison

    comparison = compare(_load(options), read_conversation(options.conversation))
    if options.json:
        _print_json(comparison.to_dict())
    else:
        print(format_comparison(comparison))
    return 0


def run_markers(options: argparse.Namespace) -> int:
    """Print marker ids verified over rows, and how the first seed's find_split sees them. Raises InspectorError."""
    from inspector.markers import find_split, propose_markers
    from inspector.samples import sample_conversations
    from inspector.terminal import format_markers

    rows = sample_conversations() if options.data is None else read_conversations(options.data)
    model = _load(options)
    inspections, refused = [], 0
    for row in rows:
        try:
            inspections.append(inspector.inspect(model, row))
        except RenderError:
            refused += 1
    markers = propose_markers(inspections)
    if options.json:
        _print_json(markers.to_dict() | {"rows": len(rows), "refused": refused})
        return 0
    try:
        splits = find_split(model)
    except RenderError:
        splits = None
    print(format_markers(model, markers, splits, rows=len(rows), refused=refused))
    return 0


def run_decode(options: argparse.Namespace) -> int:
    """Print what a trainer's log says. Raises InspectorError."""
    from inspector.decode import decode_log
    from inspector.terminal import format_decoded

    log = read_text(options.log)
    decoded = decode_log(_load(options), log)
    if options.json:
        _print_json(decoded.to_dict())
    else:
        print(format_decoded(decoded, colour=_wants_colour("auto")))
    return 0


def run_template(options: argparse.Namespace) -> int:
    """Write the model's template with generation tags; status 1 when none can be proven. Raises InspectorError."""
    from inspector.generation_tags import write_training_template
    from inspector.trl_status import trl_status

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


def _load(options: argparse.Namespace) -> Model:
    template = None if options.template is None else read_template(options.template)
    return inspector.load(options.model, revision=options.revision, template=template)


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def _wants_colour(choice: str) -> bool:
    if choice != "auto":
        return choice == "always"
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
