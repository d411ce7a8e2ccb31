-- The same, and no other process changes it until the transaction ends.
SELECT state, place, installation_id, changed_at_ms FROM moves {for_update}
