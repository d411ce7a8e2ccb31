-- When the next call of an endpoint is to be repeated, or can be forgotten.
SELECT min(due_at_ms) FROM repeats WHERE endpoint_seq = :endpoint_seq
