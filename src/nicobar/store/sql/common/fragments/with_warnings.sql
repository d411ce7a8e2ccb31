AND (CAST(:warned AS BOOLEAN) IS NULL
        OR (d.state = 'success' AND coalesce(d.warned, FALSE)) = CAST(:warned AS BOOLEAN))
