-- The facts are to be rebuilt from all messages that are stored now.
INSERT INTO fact_rebuilds (id, after_seq, until_seq, messages, ended_at_ms)
SELECT 2, 0, coalesce(max(seq), 0), 0, NULL FROM messages WHERE TRUE
ON CONFLICT (id) DO UPDATE SET after_seq = 0, until_seq = excluded.until_seq, messages = 0, ended_at_ms = NULL
