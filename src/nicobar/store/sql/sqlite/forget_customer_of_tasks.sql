-- Takes a customer's key out of the filters of replays, which then find nobody.
UPDATE tasks SET filter = json_set(filter, '$.customer_key', :expunged)
WHERE app_id = :app_id AND json_extract(filter, '$.customer_key') = :customer_key
