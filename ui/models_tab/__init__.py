"""The Models tab: the trainers' results for many chat templates, with a search by name.

In: docs/board.json. Out: the table, and the model of a row on the Inspect tab.
May import: `inspect_tab`, `wiring`, `parts`.
"""
