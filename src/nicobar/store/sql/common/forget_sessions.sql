-- Takes out the sessions that are over; there are few.
DELETE FROM sessions WHERE expires_at_ms <= :now_ms
