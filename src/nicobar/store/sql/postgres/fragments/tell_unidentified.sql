UPDATE unidentified AS u SET news = u.news + 1
    FROM unnest(CAST(:fact_app_ids AS text[]), CAST(:fact_keys AS text[])) AS g (app_id, key)
    WHERE u.app_id = g.app_id AND u.key = g.key
