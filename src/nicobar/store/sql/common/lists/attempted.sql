-- An application's messages that have a delivery for an endpoint, with that delivery.
-- columns
{message_with_body_on_request}, {delivery}
-- from
endpoints AS e {then_join} messages AS m ON m.app_id = e.app_id
-- joined
{then_join} deliveries AS d ON d.message_seq = m.seq AND d.endpoint_seq = e.seq
-- where
e.id = :endpoint_id
-- place
m.seq
-- filter
AND ({none states} OR d.state {any_of states})
    {accepted_between}
    {of_kind}
    {without_alerts}
