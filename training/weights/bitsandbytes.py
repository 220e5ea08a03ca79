"""Keeps bitsandbytes out of runs that cannot need it: peft would import it, and with it torch's compiler.

On a machine without an accelerator only the 8-bit optimizers use it.
"""

from __future__ import annotations

import sys

_NAME = "bitsandbytes"


def leave_out() -> None:
    """Prevent its import if there is no accelerator; no effect if it is already imported."""
    import torch

    if not torch.accelerator.is_available():
        sys.modules.setdefault(_NAME, None)  # type: ignore[arg-type]


def let_in() -> None:
    """Allow its import for this run."""
    if _NAME in sys.modules and sys.modules[_NAME] is None:
        del sys.modules[_NAME]
