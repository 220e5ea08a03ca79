"""Importing this keeps torch out of a process that has no use for it: transformers would import it, for seconds.

Only for processes of our own. Where torch has been imported already nothing happens.
"""

import sys

sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
