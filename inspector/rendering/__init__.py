"""Renders chat templates so that every character knows its origin, in processes with limits.

In: a template's source and a conversation. Out: Rendered, which is the text, its origins and the header of each turn.
May import: `model` and below.
"""
