"""A run's folder, and all that is written into it and read from it.

In: a spec, states, metrics and samples. Out: files that others may read at any time, and what they say.
May import: `spec`, `errors`.
"""
