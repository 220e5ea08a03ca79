"""Tests of markers, stop strings, comparisons and logs."""
