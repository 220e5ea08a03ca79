"""One file per training method: a run's spec and rows -> a trainer."""
