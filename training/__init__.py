"""Train exactly what was shown: runs, each in a folder and a process of its own.

Only `worker` and what it imports load torch; launching and watching a run does not.
"""
