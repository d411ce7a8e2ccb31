-- Forgets what an endpoint was repeated, after the time in which the next call may overtake it, and what could not be
-- sent for too long.
DELETE FROM repeats
WHERE endpoint_seq = :endpoint_seq AND due_at_ms <= :now_ms AND (sent_at_ms IS NOT NULL OR due_at_ms < :late_ms)
    AND {lease_has_term}
