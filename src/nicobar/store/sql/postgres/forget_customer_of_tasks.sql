-- Removes a customer's key from the filters of replays. One that is running is canceled: what is there now may be another
-- customer's key.
UPDATE tasks SET filter = CAST(jsonb_set(CAST(filter AS jsonb), ARRAY['customer_key'], to_jsonb(CAST(:expunged AS text))) AS text),
    status = CASE status WHEN 'running' THEN 'canceling' ELSE status END
WHERE app_id = :app_id AND CAST(filter AS json) ->> 'customer_key' = :customer_key
