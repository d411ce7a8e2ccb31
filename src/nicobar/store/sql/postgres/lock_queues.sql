-- Holds the queues of some endpoints until the transaction ends, in one order, so that no two wait for each other.
SELECT pg_advisory_xact_lock(1851941234, CAST(q.endpoint_seq AS integer))
FROM (SELECT unnest(CAST(:endpoint_seqs AS bigint[])) AS endpoint_seq ORDER BY 1) AS q
