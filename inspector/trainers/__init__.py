"""Explains what trainers search for, train and print.

In: a model, inspections, or the log of a trainer. Out: markers, stop strings, comparisons of strategies, decoded logs.
May import: `inspection` and below.
"""
