"""The Inspect tab: a conversation, its tokens, and the panes below them.

In: Boxes. Out: the view, and changes of boxes by name.
May import: `wiring`, `parts`, `visitors`.
"""
