"""Tests of the encoders beside Jinja."""
