-- The other bodies that a message's source sent under its event id, first to last.
SELECT r.accepted_at_ms, r.body FROM messages AS m {then_join} message_revisions AS r ON r.message_seq = m.seq
WHERE m.id = :message_id ORDER BY r.accepted_at_ms, r.sha256
