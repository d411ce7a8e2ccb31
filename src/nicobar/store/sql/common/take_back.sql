-- Counts a delivery out of a replay that was canceled.
UPDATE tasks SET moved = moved - 1 WHERE seq = :task_seq AND status = 'canceled'
