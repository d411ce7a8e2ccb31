INSERT INTO facts AS f (app_id, key, customer_key, parent_key, occurred_at_ms, content, email)
    SELECT * FROM unnest(CAST(:fact_app_ids AS text[]), CAST(:fact_keys AS text[]), CAST(:fact_customer_keys AS text[]),
        CAST(:fact_parent_keys AS text[]), CAST(:fact_occurred_at_ms AS bigint[]), CAST(:fact_contents AS text[]),
        CAST(:fact_emails AS text[]))
        AS g (app_id, key, customer_key, parent_key, occurred_at_ms, content, email)
    ORDER BY g.app_id COLLATE "C", g.key COLLATE "C"
    ON CONFLICT (app_id, key) DO UPDATE SET content = merge_facts(f.content, excluded.content),
        occurred_at_ms = greatest(f.occurred_at_ms, excluded.occurred_at_ms),
        parent_key = greatest(f.parent_key, excluded.parent_key),
        customer_key = CASE
            WHEN excluded.customer_key = f.customer_key OR excluded.customer_key IS NULL THEN f.customer_key
            WHEN f.customer_key IS NULL THEN excluded.customer_key
            ELSE customer_of_fact(merge_facts(f.content, excluded.content))
        END,
        email = CASE
            WHEN f.email IS NOT DISTINCT FROM excluded.email THEN f.email
            WHEN address_in_fact(merge_facts(f.content, excluded.content)) = address_in_fact(excluded.content)
                THEN excluded.email
            ELSE f.email
        END
