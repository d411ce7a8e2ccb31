-- A customer's messages.
-- columns
{message_with_body_on_request}
-- from
messages AS m
-- where
m.app_id = :app_id AND m.customer_key = :customer_key
-- place
m.seq
-- filter
{accepted_between}
    {of_kind}
    {with_delivery}
