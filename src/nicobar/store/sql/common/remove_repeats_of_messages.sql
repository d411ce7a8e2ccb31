-- Nothing is sent once more that some messages said, nor in the order of their deliveries: one call may be of several.
DELETE FROM repeats WHERE message_seq {any_number_of seqs} OR (endpoint_seq, order_key) IN (
    SELECT endpoint_seq, customer_key FROM deliveries WHERE message_seq {any_number_of seqs} AND customer_key IS NOT NULL
)
