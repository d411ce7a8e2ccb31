-- The oldest of the latest merges.
SELECT seq FROM merges ORDER BY seq DESC LIMIT 1 OFFSET :keep - 1
