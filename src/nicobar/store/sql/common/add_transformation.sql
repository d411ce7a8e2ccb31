-- Adds the next version of an endpoint's transformation.
INSERT INTO transformations (endpoint_seq, version, code, created_at_ms)
SELECT seq, (SELECT coalesce(max(version), 0) + 1 FROM transformations WHERE endpoint_seq = endpoints.seq),
    :code, :created_at_ms
FROM endpoints WHERE id = :id AND NOT removed
RETURNING version
