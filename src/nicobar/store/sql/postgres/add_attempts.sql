-- Stores attempts, each once.
INSERT INTO attempts (id, message_seq, endpoint_seq, content, state, status, manual, started_at_ms)
SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:message_seqs AS bigint[]), CAST(:endpoint_seqs AS bigint[]),
    CAST(:contents AS bytea[]), CAST(:states AS text[]), CAST(:statuses AS bigint[]), CAST(:manual AS boolean[]),
    CAST(:started_at_ms AS bigint[]))
ON CONFLICT (id) DO NOTHING
RETURNING id
