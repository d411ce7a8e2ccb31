-- Adds a line to the audit log. One transaction at a time does until it ends, so that lines appear in the order of their
-- numbers: a reader that goes forward misses none. It is a transaction's last statement or close to it.
INSERT INTO audit (at_ms, actor, action, app_id, subject, detail)
SELECT CAST(:at_ms AS bigint), :actor, :action, :app_id, :subject, :detail
FROM (SELECT pg_advisory_xact_lock(1851941247)) AS alone
