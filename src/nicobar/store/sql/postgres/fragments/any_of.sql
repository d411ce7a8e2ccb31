= ANY(CAST(:$ AS text[]))
