"""Tests of the inspector: a folder for each of its packages."""
