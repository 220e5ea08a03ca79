"""Reads rows of data sets as conversations.

In: a file, a folder, pasted text or a data set of the hub. Out: rows with their numbers, the rows that cannot be read,
and the conversations or texts in them.
May import: `model`, `conversation`, `errors`.
"""
