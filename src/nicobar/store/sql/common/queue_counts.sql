-- How many deliveries of an endpoint are pending and how many are being sent, as they are kept.
SELECT CAST(coalesce(sum(c.pending), 0) AS BIGINT), CAST(coalesce(sum(c.sending), 0) AS BIGINT)
FROM endpoints AS e {then_join} queue_counts AS c ON c.endpoint_seq = e.seq
WHERE e.id = :endpoint_id
