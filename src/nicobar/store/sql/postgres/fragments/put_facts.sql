INSERT INTO facts AS f (app_id, key, customer_key, parent_key, occurred_at_ms, content, email)
    SELECT * FROM unnest(CAST(:fact_app_ids AS text[]), CAST(:fact_keys AS text[]), CAST(:fact_customer_keys AS text[]),
        CAST(:fact_parent_keys AS text[]), CAST(:fact_occurred_at_ms AS bigint[]), CAST(:fact_contents AS text[]),
        CAST(:fact_emails AS text[]))
        AS g (app_id, key, customer_key, parent_key, occurred_at_ms, content, email)
    ORDER BY g.app_id COLLATE "C", g.key COLLATE "C"
    {merge_fact}
