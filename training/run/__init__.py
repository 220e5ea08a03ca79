"""A run's folder, and everything that is written to it and read from it.

In: a spec, states, metrics and samples. Out: files that others may read at any time, and their values.
May import: `spec`, `errors`.
"""
