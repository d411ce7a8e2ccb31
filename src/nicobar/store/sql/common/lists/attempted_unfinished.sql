-- The messages whose delivery for an endpoint is not finished, with that delivery.
-- like
attempted
-- from
deliveries AS d
-- joined
{then_join} messages AS m ON m.seq = d.message_seq {then_join} endpoints AS e ON e.seq = :endpoint_seq
-- of
d.endpoint_seq = :endpoint_seq
-- where
d.state IN ('pending', 'sending')
-- place
d.message_seq
