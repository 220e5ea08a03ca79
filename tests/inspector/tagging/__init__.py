"""Tests of generation tags."""
