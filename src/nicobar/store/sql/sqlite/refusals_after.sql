-- A page of the requests that a source refused, oldest first.
SELECT seq, source_id, at_ms, status, code, detail, event_id FROM refusals
WHERE source_id = :source_id AND seq > :above AND seq < :below ORDER BY seq LIMIT :limit
