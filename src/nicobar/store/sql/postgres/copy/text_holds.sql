CAST({column} AS text) ~ :pattern
