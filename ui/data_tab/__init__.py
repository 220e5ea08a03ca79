"""The Data tab: rows, audits, and what a collator makes of rows.

In: Boxes and DataBoxes. Out: reports, rows and figures, by the names of their widgets.
May import: `inspect_tab`, `wiring`, `parts`, `visitors`.
"""
