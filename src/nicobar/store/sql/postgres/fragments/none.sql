cardinality(CAST(:$ AS text[])) = 0
