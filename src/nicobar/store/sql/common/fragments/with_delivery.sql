AND ({none states} AND CAST(:endpoint_id AS TEXT) IS NULL AND CAST(:warned AS BOOLEAN) IS NULL
    OR EXISTS (
        SELECT 1 FROM deliveries AS d {then_join} endpoints AS e ON e.seq = d.endpoint_seq
        WHERE d.message_seq = m.seq AND (CAST(:endpoint_id AS TEXT) IS NULL OR e.id = :endpoint_id)
            AND ({none states} OR d.state {any_of states})
            {with_warnings}
        {row_by_row}
    ))
