"""What others' code says: peers of the strategies, exports read back, generated and recorded inputs."""
