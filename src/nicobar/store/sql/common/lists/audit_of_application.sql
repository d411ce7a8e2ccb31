-- The audit log of an application.
-- columns
seq, at_ms, actor, action, app_id, subject, detail
-- from
audit
-- where
app_id = :app_id
-- place
seq
-- filter
{audit_filter}
