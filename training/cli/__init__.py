"""The commands of `python -m training`.

In: parsed options. Out: text or JSON on standard output, and the exit status.
May import: everything in `training` but its processes; torch only where a command needs it.
"""
