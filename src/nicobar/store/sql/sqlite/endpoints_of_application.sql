-- The endpoints of an application that are not removed.
SELECT id FROM endpoints WHERE app_id = :app_id AND removed = 0
