"""Finds problems in a conversation, its template or its tokenizer.

In: an Example and its labels, or the error of a template. Out: findings, each with a code and a place.
May import: `strategies` and below.
"""
