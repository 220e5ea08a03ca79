"""Tests of inspector.files."""
