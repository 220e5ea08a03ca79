"""Tests of the model on its device."""
