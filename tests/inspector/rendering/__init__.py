"""Tests of renders, their origins and the sandbox."""
