coalesce((SELECT term FROM leases WHERE name = :lease_name), 0) = :term
