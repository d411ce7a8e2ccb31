-- Ends a session.
DELETE FROM sessions WHERE sha256 = :sha256
