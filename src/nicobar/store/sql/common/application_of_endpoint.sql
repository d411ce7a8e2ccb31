-- The application of an endpoint, removed or not.
SELECT app_id FROM endpoints WHERE seq = :endpoint_seq
