"""Tests of training.rows."""
