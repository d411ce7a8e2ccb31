-- Adds an application if there is none.
INSERT INTO applications (id, uid) SELECT :id, :uid WHERE NOT EXISTS (SELECT 1 FROM applications)
