SELECT e.seq, e.id, e.app_id, e.name, e.connector, e.settings, e.sealed_credentials, e.credential_references,
    e.event_types, e.variables, e.disabled, e.paused_reason, t.version, t.code, e.uid, e.disabled_reason,
    e.max_messages_per_s, e.content, e.sealed_headers, e.transformation_enabled, e.retry_after_ms,
    e.sealed_variables, e.variable_references, e.public_headers, e.mode, e.business_ids, e.brand_ids
FROM endpoints AS e LEFT JOIN transformations AS t ON t.endpoint_seq = e.seq
    AND t.version = (SELECT max(version) FROM transformations WHERE endpoint_seq = e.seq)
