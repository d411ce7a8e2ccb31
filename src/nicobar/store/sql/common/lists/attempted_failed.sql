-- The messages whose delivery for an endpoint has failed, with that delivery.
-- columns
{message_with_body_on_request}, {delivery}
-- from
endpoints AS e {then_join} deliveries AS d ON d.endpoint_seq = e.seq AND d.state = 'failed'
-- joined
{then_join} messages AS m ON m.seq = d.message_seq
-- where
e.id = :endpoint_id
-- place
d.message_seq
-- filter
{accepted_between}
    {of_kind}
    {without_alerts}
