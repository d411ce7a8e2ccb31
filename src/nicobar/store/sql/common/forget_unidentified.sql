-- Nothing of deleted endpoints waits for an identity.
DELETE FROM unidentified WHERE (message_seq, endpoint_seq, key) IN (
    SELECT u.message_seq, u.endpoint_seq, u.key
    FROM endpoints AS e {then_join} unidentified AS u ON u.endpoint_seq = e.seq WHERE e.removed LIMIT :limit
)
