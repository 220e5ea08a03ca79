"""Access to the files of this machine: open to its own user, closed to visitors of a public page."""

from __future__ import annotations

import os


def is_public() -> bool:
    """Whether this process serves visitors: set by MASKSCOPE_PUBLIC (1 or 0); without it, true on a Space."""
    setting = os.environ.get("MASKSCOPE_PUBLIC", "").strip().lower()
    return setting not in ("0", "false", "no") if setting else bool(os.environ.get("SPACE_ID"))
