"""What many tests use: a browser, a hub on this machine, models, conversations, runs."""
