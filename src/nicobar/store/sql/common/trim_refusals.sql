-- Keeps only the latest rejected requests of a source.
DELETE FROM refusals WHERE source_id = :source_id AND seq <= (
    SELECT seq FROM refusals WHERE source_id = :source_id ORDER BY seq DESC LIMIT 1 OFFSET :keep
)
