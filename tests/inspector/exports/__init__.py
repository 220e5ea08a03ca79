"""Tests of the settings for trainers and of labelled rows."""
