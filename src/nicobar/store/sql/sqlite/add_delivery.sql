-- Adds a delivery for an endpoint that still exists: due, or waiting where its customer has an unfinished one.
INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease, due_at_ms, customer_key, position,
    replay_key)
SELECT :message_seq, seq, 'pending', 0, 0,
    CASE WHEN :customer_key IS NOT NULL AND EXISTS (
        SELECT 1 FROM deliveries
        WHERE endpoint_seq = :endpoint_seq AND customer_key = :customer_key AND state IN ('pending', 'sending')
    ) THEN NULL ELSE :due_at_ms END,
    :customer_key, :message_seq << 20, ''
FROM endpoints WHERE seq = :endpoint_seq AND NOT removed
