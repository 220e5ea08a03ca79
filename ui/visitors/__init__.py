"""Permissions of visitors on the page, and clean-up after visitors who leave.

In: a request and what it names. Out: permission or an error that says why not; the visitor's own runs.
May import: `training`, `inspector`.
"""
