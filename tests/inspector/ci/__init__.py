"""Tests of audits where code is reviewed."""
