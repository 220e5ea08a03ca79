"""`python -m inspector inspect MODEL CONVERSATION.json`: the inspector from the command line.

Exit status: 0 done; 2 unusable input, with one line on standard error that says what, where, and what to do.
Heavy libraries are imported only once a model is loaded, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

_MAX_FILE_BYTES = 50_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    from inspector.errors import InspectorError

    try:
        return _inspect(options)
    except InspectorError as error:
        print(f"error: {error}", file=sys.stderr)
        if finding := getattr(error, "__notes__", None):
            print("\n".join(finding), file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _inspect(options: argparse.Namespace) -> int:
    import inspector
    from inspector.errors import InspectorError
    from inspector.terminal import format_inspection

    conversation = inspector.Conversation.parse(_read_json(options.conversation))
    template = None if options.template is None else _read_template(options.template)
    model = inspector.load(options.model, revision=options.revision, template=template)
    try:
        inspection = inspector.inspect(model, conversation, options.strategy, **dict(options.option))
    except InspectorError as error:
        if finding := inspector.diagnose(model, conversation, error):
            error.add_note(f"{finding.code}: {finding.detail}\n    → {finding.remedy}")
        raise
    if options.json:
        print(json.dumps(inspection.to_dict(), ensure_ascii=False, indent=2))
    else:
        print(format_inspection(inspection, colour=_wants_colour(options.color)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m inspector", description="See which tokens of a chat example carry the training loss."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    inspect = commands.add_parser("inspect", help="show every token of a conversation, and whether it trains")
    inspect.add_argument("model", metavar="MODEL", help="a hub id, a local folder, or tiny-chat")
    inspect.add_argument(
        "conversation",
        metavar="CONVERSATION.json",
        help="a list of messages, or an object with messages and template keywords; - reads standard input",
    )
    inspect.add_argument("--template", metavar="FILE", help="a Jinja file, or the name of a template")
    inspect.add_argument("--revision", help="branch, tag or commit of a hub model")
    inspect.add_argument("--strategy", default="traced", metavar="NAME", help="the mask strategy (default: traced)")
    inspect.add_argument(
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="NAME=VALUE",
        help="an option of the strategy, its value as JSON or plain text; may be repeated",
    )
    inspect.add_argument("--json", action="store_true", help="print the inspection as JSON")
    inspect.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="default: auto")
    return parser


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _read_json(name: str) -> Any:
    text = sys.stdin.read(_MAX_FILE_BYTES) if name == "-" else _read_text(name)
    try:
        return json.loads(text)
    except RecursionError:
        _refuse(f"{name} is nested too deeply to be a conversation.")
    except ValueError as error:
        _refuse(f"{name} is not JSON: {error}. It must hold a list of messages, or an object with `messages`.")


def _read_template(name: str) -> str:
    """The source in the file, or `name` itself when it is no file: then it names a template."""
    looks_like_file = Path(name).suffix in {".jinja", ".jinja2", ".j2", ".txt"} or "/" in name
    return _read_text(name) if looks_like_file or Path(name).is_file() else name


def _read_text(name: str) -> str:
    path = Path(name)
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            _refuse(f"{name} is over {_MAX_FILE_BYTES // 1_000_000} MB: give one conversation, not a data set.")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        _refuse(f"{name} is not UTF-8 text: byte {error.start} cannot be read.")
    except OSError as error:
        _refuse(f"{name} cannot be read: {error.strerror}.")


def _refuse(message: str) -> NoReturn:
    from inspector.errors import InputFileError

    raise InputFileError(message)


def _wants_colour(choice: str) -> bool:
    if choice != "auto":
        return choice == "always"
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


if __name__ == "__main__":
    sys.exit(main())
