-- The number and the application of an endpoint, removed or not.
SELECT seq, app_id FROM endpoints WHERE id = :endpoint_id
