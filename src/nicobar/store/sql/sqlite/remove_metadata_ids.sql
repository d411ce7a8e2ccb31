-- Deletes what may have been an id in the metadata of a customer.
DELETE FROM metadata_ids WHERE app_id = :app_id AND key = :key
