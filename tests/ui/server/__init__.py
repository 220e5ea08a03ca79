"""The app as a server: at rest, and with many visitors."""
