-- Names the key that seals from now on.
UPDATE installation SET key_id = :key_id;
