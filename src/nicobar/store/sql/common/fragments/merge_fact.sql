ON CONFLICT (app_id, key) DO UPDATE SET content = merge_facts(f.content, excluded.content),
    occurred_at_ms = {greatest}(f.occurred_at_ms, excluded.occurred_at_ms),
    parent_key = CASE
        WHEN excluded.parent_key > f.parent_key OR f.parent_key IS NULL THEN excluded.parent_key ELSE f.parent_key
    END,
    customer_key = CASE
        WHEN excluded.customer_key = f.customer_key OR excluded.customer_key IS NULL THEN f.customer_key
        WHEN f.customer_key IS NULL THEN excluded.customer_key
        ELSE customer_of_fact(merge_facts(f.content, excluded.content))
    END,
    email = CASE
        WHEN f.email = excluded.email OR f.email IS NULL AND excluded.email IS NULL THEN f.email
        WHEN address_in_fact(merge_facts(f.content, excluded.content)) = address_in_fact(excluded.content)
            THEN excluded.email
        ELSE f.email
    END
