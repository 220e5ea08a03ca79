"""Tests of audits and their reports."""
