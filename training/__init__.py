"""Train exactly what was shown: runs, each with its own folder and process.

Only `worker` and what it imports load torch; launching and watching a run does not.
"""
