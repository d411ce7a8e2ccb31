-- An application's messages that have a delivery for an endpoint, with that delivery.
-- columns
{message_with_body_on_request}, {delivery}
-- from
messages AS m
-- joined
{then_join} deliveries AS d ON d.message_seq = m.seq AND d.endpoint_seq = :endpoint_seq
    {then_join} endpoints AS e ON e.seq = :endpoint_seq
-- of
m.app_id = :app_id
-- place
m.seq
-- filter
AND ({none states} OR d.state {any_of states})
    {with_warnings}
    {accepted_between}
    {of_kind}
    {without_alerts}
