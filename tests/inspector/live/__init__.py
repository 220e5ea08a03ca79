"""Tests of what is checked inside a running trainer."""
