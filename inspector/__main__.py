"""`python -m inspector COMMAND ...`: the inspector from the command line.

Exit status: 0 done; 1 nothing could be proven (template), or findings at or above the level (audit, merge); 2 unusable
input, with one line on standard error that says what, where, and what to do; 130 interrupted.
Heavy libraries are imported only once a model is loaded, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from inspector.paths import shell_command

if __name__ in ("__main__", "__mp_main__"):  # the command, and the processes that an audit starts from it
    import inspector.model.without_torch  # noqa: F401


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser, _ = build_parser(shell_command("inspector"))
    return run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> int:
    """Run the command that was parsed; returns the exit status."""
    from inspector.cli import audit_commands, commands
    from inspector.cli.pipe import until_reader_leaves
    from inspector.errors import InspectorError

    command = {
        "audit": audit_commands.run_audit,
        "audit-each": audit_commands.run_audit_each,
        "merge": audit_commands.run_merge,
        "inspect": commands.run_inspect,
        "compare": commands.run_compare,
        "board": commands.run_board,
        "markers": commands.run_markers,
        "decode": commands.run_decode,
        "template": commands.run_template,
        "export": commands.run_export,
        "gallery": commands.run_gallery,
    }[options.command]
    try:
        return until_reader_leaves(lambda: command(options))
    except InspectorError as error:
        print(f"error: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", ()):
            print(note, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return audit_commands.INTERRUPTED


class _Command(argparse.ArgumentParser):
    """A command whose files may stand after its options, where pre-commit writes them."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The options, and what is none of them."""
        options, rest = super().parse_known_args(args, namespace)
        if hasattr(options, "files") and not any(one.startswith("-") for one in rest):
            options.files, rest = [*options.files, *rest], []
        return options, rest


def build_parser(prog: str) -> tuple[argparse.ArgumentParser, Any]:
    """The parser of all commands, and what further commands are added to."""
    parser = argparse.ArgumentParser(
        prog=prog, description="See which tokens of a chat example carry the training loss."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Command)
    inspect = commands.add_parser("inspect", help="show every token of a conversation, and whether it is trained")
    _add_model(inspect)
    _add_conversation(inspect)
    _add_strategy(inspect)
    _add_modifiers(inspect)
    inspect.add_argument(
        "--labels", action="store_true", help="the file holds rows of token ids with labels or masks: show these"
    )
    inspect.add_argument("--row", type=_row, metavar="N", help="the number of the row to show, counting from 0")
    _add_map(inspect)
    inspect.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="default: auto")
    compare = commands.add_parser("compare", help="show what each trainer's own mask would train, and what is right")
    _add_model(compare)
    _add_conversation(compare)
    board = commands.add_parser(
        "board", help="one line for each model: whether it renders, whether it is exact, what trainers train"
    )
    board.add_argument("models", nargs="+", metavar="MODEL", help="a hub id, a folder; NAME@REVISION for a revision")
    board.add_argument("--diff", action="store_true", help="of two models, show where text, ids or masks first differ")
    board.add_argument("--json", action="store_true", help="print JSON")
    markers = commands.add_parser("markers", help="propose prefix and suffix ids, verified over conversations")
    _add_model(markers)
    markers.add_argument(
        "--data", metavar="FILE", help="conversations: a JSON list, or .jsonl; default: a built-in set of varied ones"
    )
    template = commands.add_parser("template", help="write the chat template with generation tags, and prove it")
    _add_model(template)
    template.add_argument("--out", metavar="FILE", help="where to write it")
    export = commands.add_parser("export", help="write settings for each trainer, and labelled rows")
    _add_model(export)
    _add_conversation(export, "a conversation, a list of them, or .jsonl; settings are for the first")
    _add_strategy(export)
    _add_modifiers(export)
    export.add_argument("--to", metavar="TRAINER", help="such as trl_labels or axolotl; default: all")
    export.add_argument("--out", metavar="FOLDER", help="write the settings to files in this folder")
    export.add_argument("--rows", metavar="FILE", help="write labelled rows of all conversations: .parquet or .jsonl")
    gallery = commands.add_parser("gallery", help="examples: one for each finding, and how a response template merges")
    gallery.add_argument("name", nargs="?", metavar="NAME", help="the example to show; default: a list of them")
    gallery.add_argument("--json", action="store_true", help="print JSON")
    gallery.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="default: auto")
    _add_audit(commands)
    decode = commands.add_parser("decode", help="explain a trainer's warning: its examples, the cause, the right ids")
    decode.add_argument("log", metavar="LOG", help="the trainer's output, or the part with the warning; - reads it")
    _add_model(decode, "--model", required=True)
    return parser, commands


def _add_audit(commands: Any) -> None:
    audit = commands.add_parser("audit", help="audit a data set: what is trained, what goes wrong, in how many rows")
    _add_model(audit)
    audit.add_argument(
        "data", metavar="DATA", help="a file (JSONL, JSON, CSV, TSV, Parquet, Arrow), a folder, a hub id"
    )
    _add_rows(audit)
    audit.add_argument("--shard", type=_shard, default=(0, 1), metavar="I/N", help="every N-th row from the I-th on")
    audit.add_argument("--bad", metavar="FILE", help="write the rows that cannot be used to this file, as JSONL")
    merge = commands.add_parser("merge", help="merge the reports of shards")
    merge.add_argument("reports", nargs="+", metavar="REPORT.json")
    merge.add_argument("--json", action="store_true", help="print JSON")
    for command in (audit, merge):
        _add_fail_on(command)
        command.add_argument("--baseline", metavar="FILE", help="an earlier report: only more findings than there fail")
        command.add_argument("--out", metavar="FILE", help="write the report to a JSON file")
        command.add_argument("--html", metavar="FILE", help="write the report as an HTML page")
        command.add_argument("--sarif", metavar="FILE", help="write it as SARIF, for the lines of a pull request")
        command.add_argument("--junit", metavar="FILE", help="write it as JUnit's XML, for a CI server")
    each = commands.add_parser("audit-each", help="audit each of several files by itself, as before a commit")
    _add_model(each)
    each.add_argument("files", nargs="*", metavar="FILE", help="as DATA of audit")
    _add_rows(each)
    _add_fail_on(each)
    each.set_defaults(shard=(0, 1), bad=None, baseline=None, out=None, html=None, sarif=None, junit=None)


def _add_rows(command: argparse.ArgumentParser) -> None:
    """Which rows are read, and how each is inspected."""
    command.add_argument("--split", default="", help="of a hub data set (default: train), or the start of file names")
    command.add_argument("--config", default="", help="of a hub data set")
    command.add_argument("--data-revision", default="", metavar="REVISION", help="of a hub data set")
    _add_map(command)
    _add_strategy(command)
    _add_modifiers(command)
    command.add_argument("--limit", type=_at_least_one, metavar="N", help="read at most N rows")
    command.add_argument("--workers", type=_at_least_one, metavar="N", help="processes (default: one a core)")


def _add_fail_on(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--fail-on", default="error", metavar="LEVEL,...",
        help="end with status 1 on findings of these severities or codes (default: error; never)",
    )  # fmt: skip


def _add_map(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--map", action="append", default=[], type=_pair, metavar="NAME=COLUMN",
        help="which column is which: messages=, prompt=, completion=, text_column=, ...; format= for another layout",
    )  # fmt: skip


def _add_model(command: argparse.ArgumentParser, name: str = "model", **options: Any) -> None:
    command.add_argument(name, metavar="MODEL", help="a hub id, a local folder, or tiny-chat", **options)
    command.add_argument("--template", metavar="FILE", help="a Jinja file, or the name of a template")
    command.add_argument("--revision", help="branch, tag or commit of a hub model")
    command.add_argument("--json", action="store_true", help="print JSON")


def _add_strategy(command: argparse.ArgumentParser) -> None:
    command.add_argument("--strategy", default="traced", metavar="NAME", help="the mask strategy (default: traced)")
    command.add_argument(
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="NAME=VALUE",
        help="an option of the strategy, its value as JSON or plain text; may be repeated",
    )


def _add_modifiers(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--keep", default="all", metavar="WHAT", help="all, last_response, last_turn, flagged, prompt_too"
    )
    command.add_argument("--max-length", type=int, metavar="N", help="truncate to N tokens")
    command.add_argument("--truncation", default="keep_start", metavar="SIDE", help="keep_start (default) or keep_end")
    from inspector.conversation import Step

    command.add_argument(
        "--as-given", type=_names, default=(), metavar="STEP,...",
        help=f"changes that rows do not get before they are rendered: all, {', '.join(Step)}",
    )  # fmt: skip
    command.add_argument(
        "--special-tokens", type=_object, default={}, metavar="JSON", help='such as {"pad_token": "[PAD]"}'
    )


def _add_conversation(
    command: argparse.ArgumentParser, what: str = "a list of messages, or an object with messages and template keywords"
) -> None:
    command.add_argument("conversation", metavar="CONVERSATION.json", help=f"{what}; - reads standard input")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        from inspector.errors import quoted

        raise argparse.ArgumentTypeError(f"{quoted(text, 120)} is not a JSON object")
    return value


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COLUMN")
    return name, value


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _row(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return int(text)


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 0 to N-1")
    return int(index), int(count)


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


if __name__ == "__main__":
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # torch is missing, and not needed
    sys.exit(main())
