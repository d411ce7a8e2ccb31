m.channels, m.tags, m.params, m.deliver_at_ms, m.expunged_at_ms, m.customer_email, m.customer_name
