m.seq, m.id, m.app_id, m.source_id, m.event_id, m.event_type, m.customer_key, m.occurred_at_ms, m.accepted_at_ms
