"""bitsandbytes is kept out of runs that cannot need it: peft would import it, and with it torch's compiler.

On a machine without an accelerator only the optimizers of 8 bits use it.
"""

from __future__ import annotations

import sys

_NAME = "bitsandbytes"


def leave_out() -> None:
    """Have nothing import it, where there is no accelerator; without effect where it is imported already."""
    import torch

    if not torch.accelerator.is_available():
        sys.modules.setdefault(_NAME, None)  # type: ignore[arg-type]


def let_in() -> None:
    """This run uses it."""
    if _NAME in sys.modules and sys.modules[_NAME] is None:
        del sys.modules[_NAME]
