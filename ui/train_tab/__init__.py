"""The Train tab: specs, runs, metrics and answers.

In: settings or YAML, and the folders of runs. Out: the content of the tab.
May import: `data_tab`, `inspect_tab`, `wiring`, `parts`, `visitors`.
"""
