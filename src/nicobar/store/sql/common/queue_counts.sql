-- How many deliveries of an endpoint are pending and how many are being sent, as they are kept.
SELECT CAST(coalesce(sum(pending), 0) AS BIGINT), CAST(coalesce(sum(sending), 0) AS BIGINT)
FROM queue_counts WHERE endpoint_seq = :endpoint_seq
