"""Renders chat templates in limited processes, so that the origin of every character is known.

In: a template's source and a conversation. Out: Rendered, which is the text, its origins and the header of each turn.
May import: `model` and below.
"""
