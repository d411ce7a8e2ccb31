= ANY(CAST(:$ AS bigint[]))
