"""`python -m inspector COMMAND ...`: the inspector from the command line.

Exit status: 0 done; 1 nothing could be proven (template); 2 unusable input, with one line on standard error that says
what, where, and what to do.
Heavy libraries are imported only once a model is loaded, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    from inspector import commands
    from inspector.errors import InspectorError

    run = {
        "inspect": commands.run_inspect,
        "compare": commands.run_compare,
        "markers": commands.run_markers,
        "decode": commands.run_decode,
        "template": commands.run_template,
    }[options.command]
    try:
        return run(options)
    except InspectorError as error:
        print(f"error: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", ()):
            print(note, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m inspector", description="See which tokens of a chat example carry the training loss."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    inspect = commands.add_parser("inspect", help="show every token of a conversation, and whether it trains")
    _add_model(inspect)
    _add_conversation(inspect)
    inspect.add_argument("--strategy", default="traced", metavar="NAME", help="the mask strategy (default: traced)")
    inspect.add_argument(
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="NAME=VALUE",
        help="an option of the strategy, its value as JSON or plain text; may be repeated",
    )
    inspect.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="default: auto")
    compare = commands.add_parser("compare", help="show what each trainer's own mask would train, beside the truth")
    _add_model(compare)
    _add_conversation(compare)
    markers = commands.add_parser("markers", help="propose prefix and suffix ids, verified over conversations")
    _add_model(markers)
    markers.add_argument(
        "--data", metavar="FILE", help="conversations: a JSON list, or .jsonl; default: varied ones made for this"
    )
    template = commands.add_parser("template", help="write the chat template with generation tags, and prove it")
    _add_model(template)
    template.add_argument("--out", metavar="FILE", help="where to write it")
    decode = commands.add_parser("decode", help="explain a trainer's warning: its examples, the cause, the right ids")
    decode.add_argument("log", metavar="LOG", help="the trainer's output, or the part with the warning; - reads it")
    _add_model(decode, "--model", required=True)
    return parser


def _add_model(command: argparse.ArgumentParser, name: str = "model", **options: Any) -> None:
    command.add_argument(name, metavar="MODEL", help="a hub id, a local folder, or tiny-chat", **options)
    command.add_argument("--template", metavar="FILE", help="a Jinja file, or the name of a template")
    command.add_argument("--revision", help="branch, tag or commit of a hub model")
    command.add_argument("--json", action="store_true", help="print JSON")


def _add_conversation(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "conversation",
        metavar="CONVERSATION.json",
        help="a list of messages, or an object with messages and template keywords; - reads standard input",
    )


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


if __name__ == "__main__":
    sys.exit(main())
