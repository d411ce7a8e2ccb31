-- Nothing is sealed with the replaced keys any more.
UPDATE replaced_keys SET unused_since_ms = :now_ms WHERE unused_since_ms IS NULL;
