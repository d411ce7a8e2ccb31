-- Forgets what an endpoint was sent once more, after the time in which the next call may overtake it.
DELETE FROM repeats WHERE endpoint_seq = :endpoint_seq AND due_at_ms <= :now_ms AND sent_at_ms IS NOT NULL
    AND {lease_has_term}
