"""`/api/v1/analytics/`: the numbers, for persons and backends, of the sites in their reach."""
