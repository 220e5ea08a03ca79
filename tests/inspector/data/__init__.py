"""Tests of data sets and the layouts of their rows."""
