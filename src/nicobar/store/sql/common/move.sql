-- Whether the data is moving, and where.
SELECT state, place, installation_id, changed_at_ms FROM moves
