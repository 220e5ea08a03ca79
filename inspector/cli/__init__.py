"""The commands of `python -m inspector`.

In: parsed options. Out: text or JSON on standard output, and the exit status.
May import: everything else in `inspector`.
"""
