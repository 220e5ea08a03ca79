"""Settings for each trainer, with a computed comment that says what they train; labelled rows.

In: an inspection. Out: an Export for each trainer (`targets`), or a file of rows with labels (`rows`).
May import: `trainers`, `tagging`, `inspection` and below.
"""
