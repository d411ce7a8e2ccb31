(SELECT unnest(CAST(:$ AS text[])) AS value)
