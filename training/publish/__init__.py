"""Publishes the result of a run: its model card, the merged model, the upload.

In: a finished run. Out: files in its folder, or a repository of the hub.
May import: `weights`, `rows`, `run`, `spec`, `errors`, `inspector`; torch.
"""
