"""The Models tab: what trainers make of the chat templates that were tried, found by name.

In: docs/board.json. Out: the table, and the model of a row on the Inspect tab.
May import: `inspect_tab`, `wiring`, `parts`.
"""
