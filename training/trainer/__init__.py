"""Trains a run from its spec to its adapter, and proves that every trained row was shown.

In: the folder of a run. Out: the adapter, metrics, samples, and the proof.
May import: everything else in `training` but the commands and the processes; torch and trl.
"""
