-- Which installation this is, and its key.
SELECT installation_id, key_id FROM installation;
