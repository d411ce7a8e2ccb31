-- Whether facts of stored messages are still to be rebuilt.
SELECT 1 FROM fact_rebuilds WHERE id = 2 AND ended_at_ms IS NULL AND after_seq < until_seq
