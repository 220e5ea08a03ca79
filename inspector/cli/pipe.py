"""What the commands of both packages do when the reader of their output leaves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def until_reader_leaves(command: Callable[[], int]) -> int:
    """Run a command and write its output out; returns the exit status.

    Where the reader of a pipe has left (`| head -1`), the rest is not written, and that is not an error.
    """
    try:
        status = command()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
