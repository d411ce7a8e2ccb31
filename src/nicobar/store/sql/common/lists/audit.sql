-- The audit log.
-- columns
seq, at_ms, actor, action, app_id, subject, detail
-- from
audit
-- place
seq
-- filter
{audit_filter}
