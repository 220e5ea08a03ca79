"""Everything that must hold. A folder for each package; `support` and `oracles` hold what the tests use."""
