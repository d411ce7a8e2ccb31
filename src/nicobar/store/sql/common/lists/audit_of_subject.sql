-- The audit log of one object.
-- like
audit
-- of
subject = :subject
