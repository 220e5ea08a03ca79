"""What goes wrong in a conversation, its template or its tokenizer.

In: an Example and its labels, or the error of a template that refused. Out: findings, each with a code and a place.
May import: `strategies` and below.
"""
