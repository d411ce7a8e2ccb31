-- Takes a customer's key out of the filters of replays. One that runs is canceled: what stands there now may be another
-- customer's key.
UPDATE tasks SET filter = json_set(filter, '$.customer_key', :expunged),
    status = CASE status WHEN 'running' THEN 'canceling' ELSE status END
WHERE app_id = :app_id AND json_extract(filter, '$.customer_key') = :customer_key
