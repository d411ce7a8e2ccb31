-- Signs out.
DELETE FROM sessions WHERE sha256 = :sha256
