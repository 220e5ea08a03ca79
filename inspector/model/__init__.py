"""Loads tokenizers and chat templates.

In: a model's name, a folder or a hub id; or the name or source of a template. Out: a Model.
May import: `errors`, `conversation`, `paths`.
"""
