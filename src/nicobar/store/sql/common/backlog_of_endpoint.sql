-- The unfinished deliveries of one endpoint, and the age of the oldest.
SELECT d.endpoint_seq, d.unfinished, m.accepted_at_ms
FROM (
    SELECT endpoint_seq, count(*) AS unfinished, min(message_seq) AS oldest
    FROM deliveries WHERE endpoint_seq = :endpoint_seq AND state IN ('pending', 'sending') GROUP BY endpoint_seq
) AS d JOIN messages AS m ON m.seq = d.oldest
