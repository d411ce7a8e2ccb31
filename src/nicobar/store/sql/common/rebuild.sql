-- How far the facts are rebuilt from stored messages.
SELECT after_seq, until_seq, messages, ended_at_ms FROM fact_rebuilds WHERE id = 2
