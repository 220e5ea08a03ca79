"""Settings for each trainer: one file per family of trainers. `inspector.export` is the way in."""
