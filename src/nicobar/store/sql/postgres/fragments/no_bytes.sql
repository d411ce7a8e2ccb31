CAST('' AS bytea)
