"""Ends the commands of both packages cleanly if the reader of their output closes the pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def until_reader_leaves(command: Callable[[], int]) -> int:
    """Run a command and flush its output; returns the exit status.

    If the reader has closed the pipe (`| head -1`), the rest is not written, and that is not an error.
    """
    try:
        status = command()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
