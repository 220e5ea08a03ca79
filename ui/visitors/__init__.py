"""Who may do what on the page, and what goes with a visitor who leaves.

In: a request and what it names. Out: permission or an error that says why not; the visitor's own runs.
May import: `training`, `inspector`.
"""
