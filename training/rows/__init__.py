"""Rows as they train: inspected, written into a run's folder, and read again by a trainer.

In: a spec. Out: PreparedRow, one for each conversation or answer of a pair; files with their ids, labels and hashes.
May import: `run`, `spec`, `errors`, `inspector`.
"""
