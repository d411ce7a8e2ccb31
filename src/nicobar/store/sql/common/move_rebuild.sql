-- The facts of messages up to a number are rebuilt, by one process that went on from where the other ones were.
UPDATE fact_rebuilds SET after_seq = :after_seq, messages = messages + :messages,
    ended_at_ms = CASE WHEN :after_seq >= until_seq THEN CAST(:now_ms AS BIGINT) END
WHERE id = 2 AND after_seq = :was_seq AND ended_at_ms IS NULL
