-- Facts were stated: what waits for one of them is looked at again.
UPDATE unidentified SET news = news + 1 WHERE app_id = :app_id AND key {any_of keys}
