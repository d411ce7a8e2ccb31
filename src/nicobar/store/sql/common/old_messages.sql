-- Messages from a place on, oldest first, with what has to be known before they are emptied or taken out: whether one that
-- is old has a delivery that is not finished, and whether one that was emptied still names its customer, as a version leaves
-- it that does not know these columns.
SELECT seq, accepted_at_ms, expunged_at_ms, accepted_at_ms < :before_ms AND EXISTS (
    SELECT 1 FROM deliveries WHERE message_seq = messages.seq AND state IN ('pending', 'sending') {row_by_row}
), expunged_at_ms IS NOT NULL AND (customer_email IS NOT NULL OR customer_name IS NOT NULL)
FROM messages WHERE seq > :after_seq AND seq <= :until_seq ORDER BY seq LIMIT :limit
