"""Importing this keeps torch out of a process that does not need it: transformers would spend seconds on importing it.

Only for our own processes. If torch is already imported nothing happens.
"""

import sys

sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
