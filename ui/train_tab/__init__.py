"""The Train tab: specs, runs, metrics and answers.

In: settings or YAML, and the folders of runs. Out: what the tab shows of them.
May import: `data_tab`, `inspect_tab`, `wiring`, `parts`, `visitors`.
"""
