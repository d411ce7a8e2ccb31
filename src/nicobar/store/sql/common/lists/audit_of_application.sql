-- The audit log of an application.
-- like
audit
-- of
app_id = :app_id
