-- Nothing is sent once more to deleted endpoints.
DELETE FROM repeats WHERE (endpoint_seq, person) IN (
    SELECT r.endpoint_seq, r.person
    FROM endpoints AS e {then_join} repeats AS r ON r.endpoint_seq = e.seq WHERE e.removed LIMIT :limit
)
