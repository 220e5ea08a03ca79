"""Tests of the page's handlers and endpoints."""
