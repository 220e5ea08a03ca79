"""`maskscope COMMAND ...`: the inspector's commands by their names, `train ...` for runs, `app` for the page.

Exit status: that of the command; 2 where a package is missing, with the extra that brings it.
Nothing is imported that the command does not need, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import maskscope
from inspector.paths import install_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    own = _OWN.get(words[0]) if words else None
    if own is None:
        return _inspector(words)
    try:
        return own(words[1:])
    except ModuleNotFoundError as error:
        return _lacking(words[0], error)


def start() -> int:
    """`main` in a process of its own. What the inspector does there needs no torch, and does not wait for it."""
    if not _OWN.keys() & set(sys.argv[1:2]):
        os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that there is no torch
        import inspector.model.without_torch  # noqa: F401
    return main()


def _inspector(words: list[str]) -> int:
    from inspector.__main__ import build_parser, run

    parser, commands = build_parser("maskscope")
    parser.add_argument("--version", action="version", version=f"maskscope {maskscope.__version__}")
    commands.add_parser("train", help="train what the inspector shows: runs, in processes of their own")
    commands.add_parser("app", help="open the page")
    return run(parser.parse_args(words))


def _train(words: list[str]) -> int:
    from training.__main__ import main

    return main(words)


def _app(words: list[str]) -> int:
    from app import main

    main(words, prog="maskscope app")
    return 0


_OWN: dict[str, Callable[[list[str]], int]] = {"train": _train, "app": _app}
"""The commands that are not the inspector's. Each is an extra of its own, too."""


def _lacking(extra: str, error: ModuleNotFoundError) -> int:
    print(
        f"error: `maskscope {extra}` needs {error.name}, which is not installed: {install_command(extra)}",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(start())
