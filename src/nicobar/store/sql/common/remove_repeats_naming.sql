-- Nothing is repeated to an application's endpoints that has one of some values.
DELETE FROM repeats
WHERE endpoint_seq IN (SELECT seq FROM endpoints WHERE app_id = :app_id)
    AND ({has_bytes content} OR {has_value order_key})
