-- Stores another body of a message, within the bounds of one message.
INSERT INTO message_revisions (message_seq, sha256, accepted_at_ms, body)
SELECT m.seq, :sha256, :accepted_at_ms, :body FROM messages AS m
WHERE m.id = :message_id AND m.expunged_at_ms IS NULL
    AND (SELECT count(*) FROM message_revisions WHERE message_seq = m.seq) < :max_revisions
    AND (SELECT coalesce(sum(length(body)), 0) FROM message_revisions WHERE message_seq = m.seq)
        + CAST(:body_bytes AS integer) <= CAST(:max_bytes AS integer)
{for_key_share}
ON CONFLICT DO NOTHING
