-- Keeps only the latest tasks with a result.
DELETE FROM tasks WHERE result IS NOT NULL AND seq <= (
    SELECT seq FROM tasks WHERE result IS NOT NULL ORDER BY seq DESC LIMIT 1 OFFSET :keep
)
