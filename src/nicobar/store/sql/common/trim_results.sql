-- Keeps the latest tasks that only found something, and takes the older ones out.
DELETE FROM tasks WHERE result IS NOT NULL AND seq <= (
    SELECT seq FROM tasks WHERE result IS NOT NULL ORDER BY seq DESC LIMIT 1 OFFSET :keep
)
