-- Records when retention last finished and, unless it deleted nothing, what it deleted.
INSERT INTO clean_ups (id, ended_at_ms, took_at_ms, emptied, forgotten)
VALUES (1, :ended_at_ms, :took_at_ms, :emptied, :forgotten)
ON CONFLICT (id) DO UPDATE SET ended_at_ms = excluded.ended_at_ms,
    took_at_ms = coalesce(excluded.took_at_ms, clean_ups.took_at_ms),
    emptied = CASE WHEN excluded.took_at_ms IS NULL THEN clean_ups.emptied ELSE excluded.emptied END,
    forgotten = CASE WHEN excluded.took_at_ms IS NULL THEN clean_ups.forgotten ELSE excluded.forgotten END
