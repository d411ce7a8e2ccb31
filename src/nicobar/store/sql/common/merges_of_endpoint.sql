-- The latest merges of an endpoint.
SELECT {merge} FROM merges WHERE endpoint_seq = :endpoint_seq ORDER BY seq DESC LIMIT :limit
