-- How many deliveries a replay has put into the queue that were not tried since.
SELECT count(*) FROM tasks AS t {then_join} deliveries AS d ON d.task_seq = t.seq
WHERE t.id = :task_id AND d.was IS NOT NULL AND d.state = 'pending'
