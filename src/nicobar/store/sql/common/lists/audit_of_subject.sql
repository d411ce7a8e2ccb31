-- The audit log of one object.
-- columns
seq, at_ms, actor, action, app_id, subject, detail
-- from
audit
-- where
subject = :subject
-- place
seq
-- filter
{audit_filter}
