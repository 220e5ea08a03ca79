"""What notebooks show: pieces of HTML that need no script, no file and no network, in light and dark.

In: examples with the bits of a mask, findings, verdicts. Out: HTML. May import: `findings` and below.
"""

from inspector.notebook.pieces import block, finding_list, folded, note, point, table
from inspector.notebook.tokens import Mask, token_view

__all__ = ["Mask", "block", "finding_list", "folded", "note", "point", "table", "token_view"]
