-- The unfinished deliveries of the endpoints that have some, as they are kept, and when the oldest one's message was
-- accepted: one look into the index for each endpoint.
SELECT c.endpoint_seq, CAST(sum(c.pending + c.sending) AS BIGINT), {oldest_accepted}
FROM queue_counts AS c GROUP BY c.endpoint_seq HAVING sum(c.pending + c.sending) > 0
ORDER BY c.endpoint_seq
