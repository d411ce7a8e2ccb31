-- Nothing is repeated to deleted endpoints.
DELETE FROM repeats WHERE (place, person) IN (
    SELECT r.place, r.person FROM endpoints AS e {then_join} repeats AS r ON r.endpoint_seq = e.seq
    WHERE e.removed LIMIT :limit
)
