-- When some customers and objects were erased, by the hashes of their ids.
SELECT digest, erased_at_ms FROM erased WHERE app_id = :app_id AND digest {any_of digests}
