-- Merges the facts of some messages with what is stored, in the order of their keys, so that no two transactions wait for
-- each other; what waits for one of them to be identified is looked at again. Adds deliveries for endpoints that still exist, to be put in order by the holder of the endpoint's queue.
WITH stated AS (
    {put_facts}
), told AS (
    {tell_unidentified}
)
INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease, due_at_ms, customer_key, position, replay_key)
SELECT g.message_seq, e.seq, 'pending', 0, 0, g.due_at_ms, g.customer_key, 0, ''
FROM unnest(CAST(:message_seqs AS bigint[]), CAST(:endpoint_seqs AS bigint[]), CAST(:due_at_ms AS bigint[]),
    CAST(:customer_keys AS text[])) AS g (message_seq, endpoint_seq, due_at_ms, customer_key)
    JOIN endpoints AS e ON e.seq = g.endpoint_seq AND NOT e.removed
