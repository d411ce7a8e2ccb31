-- An application's messages.
-- columns
{message_with_body_on_request}
-- from
messages AS m
-- of
m.app_id = :app_id
-- place
m.seq
-- filter
{accepted_between}
    {of_kind}
    {without_alerts}
    {with_delivery}
