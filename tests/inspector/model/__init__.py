"""Tests of models, templates and the hub."""
