"""Trainers that put a row together out of pieces: each is rendered or tokenized alone, and then they are joined.

In: an Example. Out: Labelled, over the joined row where its ids are not those of the whole render.
May import: as `strategies`.
"""
