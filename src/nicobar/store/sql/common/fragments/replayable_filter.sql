AND m.expunged_at_ms IS NULL AND m.source_id <> 'operational'
    {accepted_between}
    {of_kind}
