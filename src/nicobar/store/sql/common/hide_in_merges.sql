-- Deletes the pairs of people with some values from the merges of an application: nothing masked may be sent.
DELETE FROM merge_pairs
WHERE merge_seq IN (SELECT seq FROM merges WHERE app_id = :app_id)
    AND (secondary_value <> regexp_replace(secondary_value, :pattern, :mask, 'g')
        OR primary_value <> regexp_replace(primary_value, :pattern, :mask, 'g')
        OR customer_key <> regexp_replace(customer_key, :pattern, :mask, 'g')
        OR reason <> regexp_replace(reason, :pattern, :mask, 'g'))
