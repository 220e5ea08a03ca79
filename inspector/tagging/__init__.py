"""Writes generation tags into chat templates, and verifies them.

In: a model. Out: a template whose tags mark what `traced` trains, or the reason why there is none.
May import: `inspection` and below.
"""
