"""Whether what is on this machine is open to whoever asks: on one's own machine it is, on a public page it is not."""

from __future__ import annotations

import os


def is_public() -> bool:
    """Whether this process serves visitors: MASKSCOPE_PUBLIC says so (1) or not (0); without it a Space does."""
    setting = os.environ.get("MASKSCOPE_PUBLIC", "").strip().lower()
    return setting not in ("0", "false", "no") if setting else bool(os.environ.get("SPACE_ID"))
