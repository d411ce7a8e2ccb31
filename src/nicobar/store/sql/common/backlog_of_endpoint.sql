-- The same for one endpoint.
SELECT c.endpoint_seq, CAST(sum(c.pending + c.sending) AS BIGINT), {oldest_accepted}
FROM queue_counts AS c WHERE c.endpoint_seq = :endpoint_seq GROUP BY c.endpoint_seq
HAVING sum(c.pending + c.sending) > 0
