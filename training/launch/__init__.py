"""Starts the processes of runs: one, several, or a job on another machine.

In: a spec, or the folder of a run. Out: a process, and the state of the run. Imports no torch.
May import: `rows`, `run`, `spec`, `errors`.
"""
