"""Numbers and reasons, read from the log: rollups, latency, Push Health."""
