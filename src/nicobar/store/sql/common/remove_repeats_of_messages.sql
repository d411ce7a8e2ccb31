-- Nothing is repeated that some messages said, nor in the order of their deliveries: one call may be of several, to
-- several endpoints of the application.
DELETE FROM repeats WHERE message_seq {any_number_of seqs} OR order_key IN (
    SELECT customer_key FROM deliveries WHERE message_seq {any_number_of seqs} AND customer_key IS NOT NULL
) AND endpoint_seq IN (
    SELECT e.seq FROM endpoints AS e WHERE e.app_id IN (SELECT app_id FROM messages WHERE seq {any_number_of seqs})
)
