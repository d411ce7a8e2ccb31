-- The application of an endpoint, removed or not.
SELECT app_id FROM endpoints WHERE id = :endpoint_id
