UPDATE unidentified AS u SET news = u.news + 1
    FROM (
        SELECT w.app_id, w.key FROM (
            SELECT * FROM unnest(CAST(:fact_app_ids AS text[]), CAST(:fact_keys AS text[]), CAST(:fact_contents AS text[]))
                AS g (app_id, key, content)
            WHERE EXISTS (SELECT 1 FROM unidentified WHERE app_id = g.app_id AND key = g.key)
            OFFSET 0
        ) AS w
        WHERE NOT EXISTS (
            SELECT 1 FROM facts AS o WHERE o.app_id = w.app_id AND o.key = w.key
                AND is_same_said(o.content, merge_facts(o.content, w.content))
        )
    ) AS g
    WHERE u.app_id = g.app_id AND u.key = g.key
